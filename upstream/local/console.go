// Package local has the kinds of upstreams that stay on the machine: console, memory and file.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailhatch/mime"
	"mailhatch/mime/view"
	"mailhatch/upstream"
)

// ConsoleKind is kind console.
func ConsoleKind() upstream.Kind {
	return upstream.Kind{Name: "console", Doc: "shows mail on standard output",
		Traits: localTraits(), New: func() upstream.Settings { return &consoleSettings{} }}
}

// localTraits are those of all kinds here: nothing leaves the machine.
func localTraits() upstream.Traits {
	return upstream.Traits{MailFrom: true, Bcc: upstream.BccEnvelope, Later: "nothing"}
}

// consoleSettings are the keys of an upstream that shows mail to the person before the screen.
type consoleSettings struct {
	Full    bool              `toml:"full"`    // the whole source instead of a summary
	Timeout upstream.Duration `toml:"timeout"` // every kind has it; nothing here takes time
}

// Open needs an output to write to.
func (s *consoleSettings) Open(env upstream.Env) (upstream.Upstream, error) {
	if env.Stdout == nil {
		return nil, errors.New("no output to write to")
	}
	return &console{out: env.Stdout, full: s.Full, turn: make(chan struct{}, 1)}, nil
}

// console is the upstream of kind console.
type console struct {
	full bool
	out  io.Writer
	turn chan struct{} // full while a mail is written
}

const (
	maxTextLines = 20
	maxTextBytes = 2000
	maxSource    = 1 << 20 // shown of a message with full
)

// Send writes m in one piece. Recipients in Bcc are shown too: the screen is the developer's own.
func (c *console) Send(ctx context.Context, m *upstream.Mail) []upstream.Outcome {
	err := ctx.Err()
	if err == nil {
		var b bytes.Buffer
		if err = c.show(m, &b); err == nil {
			err = c.write(ctx, b.Bytes())
		}
	}
	return sameOutcome(m, err)
}

// write waits until ctx ends for an output that nobody reads. What was begun then is written once somebody does.
func (c *console) write(ctx context.Context, b []byte) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("the console is not being read: %w", ctx.Err())
	}
	written := make(chan error, 1)
	go func() { // nothing can interrupt a write that blocks: it ends with the program
		_, err := c.out.Write(b)
		<-c.turn
		written <- err
	}()
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return &upstream.Error{Class: upstream.Uncertain, Err: fmt.Errorf("the console is not being read: %w", ctx.Err())}
	}
}

// Render writes what Send would.
func (c *console) Render(m *upstream.Mail, w io.Writer) error {
	var b bytes.Buffer
	if err := c.show(m, &b); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// sameOutcome makes one outcome for all recipients: what fails in a local kind is never the mail's fault.
func sameOutcome(m *upstream.Mail, err error) []upstream.Outcome {
	out := make([]upstream.Outcome, len(m.To))
	for i := range out {
		out[i].ID = m.ID
		if known, ok := errors.AsType[*upstream.Error](err); ok {
			out[i] = upstream.Outcome{Err: known}
		} else if err != nil {
			out[i] = upstream.Outcome{Err: &upstream.Error{Class: upstream.Temporary, Err: err}}
		}
	}
	return out
}

func (c *console) show(m *upstream.Mail, b *bytes.Buffer) error {
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(b, "%-11s %s\n", label, printable(value, false))
		}
	}
	fmt.Fprintf(b, "──── mail %s ────\n", printable(m.ID, false))
	line("envelope", "<"+m.From+"> to "+recipientList(m.To))
	if c.full {
		b.WriteByte('\n')
		source, err := io.ReadAll(io.LimitReader(m.Message.Reader(), maxSource))
		if err != nil {
			return err
		}
		writeText(b, string(source), len(source), len(source)+1)
		if more := m.Message.Source.Size() - int64(len(source)); more > 0 {
			fmt.Fprintf(b, "… %s more\n", byteCount(more))
		}
		b.WriteString("────\n")
		return nil
	}
	line("from", addressList(m.Message.From))
	line("to", addressList(m.Message.To))
	line("cc", addressList(m.Message.Cc))
	line("reply-to", addressList(m.Message.ReplyTo))
	line("subject", m.Message.Subject)
	line("size", byteCount(m.Message.Source.Size()))
	if err := writeContent(b, m.Message); err != nil {
		return err
	}
	b.WriteString("────\n")
	return nil
}

// writeContent shows the text, or a note that there is only HTML, and lists the attachments.
func writeContent(b *bytes.Buffer, m *mime.Message) error {
	content, err := view.Of(m)
	if err != nil {
		return err
	}
	if content.Opaque != "" {
		fmt.Fprintf(b, "%-11s %s\n", "kind", printable(content.Opaque, false))
	}
	switch {
	case content.Text != nil && !content.Text.IsBlank():
		start, err := io.ReadAll(io.LimitReader(content.Text.Open(), 4*maxTextBytes)) // line ends and blanks may go
		if err != nil {
			return err
		}
		b.WriteByte('\n')
		writeText(b, string(start), maxTextBytes, maxTextLines)
	case content.HTML != nil:
		size, err := content.HTML.Size()
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\n(HTML only, %s)\n", byteCount(size))
	}
	if len(content.Attachments) > 0 {
		b.WriteByte('\n')
	}
	for _, a := range content.Attachments {
		size, err := a.Part.DecodedSize()
		if err != nil {
			return err
		}
		kind, _, _ := strings.Cut(a.Type, ";")
		fmt.Fprintf(b, "attachment  %s (%s, %s)\n", printable(a.Name, false), printable(kind, false), byteCount(size))
	}
	return nil
}

// writeText shows the start of a text.
func writeText(b *bytes.Buffer, text string, maxBytes, maxLines int) {
	text = strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n ")
	cut := len(text) > maxBytes
	if cut {
		text = strings.ToValidUTF8(text[:maxBytes], "")
	}
	lines := strings.SplitN(text, "\n", maxLines+1)
	if len(lines) > maxLines {
		lines, cut = lines[:maxLines], true
	}
	for _, l := range lines {
		b.WriteString(printable(l, true))
		b.WriteByte('\n')
	}
	if cut {
		b.WriteString("…\n")
	}
}

// printable makes text harmless for a terminal: control characters, with which a message could
// rewrite what is on the screen, and marks that turn the direction of writing show as their numbers.
func printable(s string, tabs bool) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t' && tabs:
			b.WriteRune(r)
		case r == utf8.RuneError:
			b.WriteRune('\uFFFD')
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func recipientList(to []upstream.Recipient) string {
	names := make([]string, len(to))
	for i, r := range to {
		names[i] = "<" + r.Address + ">"
	}
	return strings.Join(names, " ")
}

func addressList(list []mime.Address) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.Addr
		if a.Name != "" {
			names[i] = a.Name + " <" + a.Addr + ">"
		}
	}
	return strings.Join(names, ", ")
}

func byteCount(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

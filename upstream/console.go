package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"mailhatch/mime"
)

// consoleSettings are the keys of an upstream that shows mail to the person before the screen.
type consoleSettings struct {
	Full    bool     `toml:"full"`    // the whole source instead of a summary
	Timeout Duration `toml:"timeout"` // every kind has it; nothing here takes time
}

// Open needs an output to write to.
func (s *consoleSettings) Open(env Env) (Upstream, error) {
	if env.Stdout == nil {
		return nil, errors.New("there is no output to write to")
	}
	return &console{out: env.Stdout, full: s.Full}, nil
}

// console is the upstream of kind console.
type console struct {
	full bool

	mu  sync.Mutex
	out io.Writer
}

const (
	consoleTextLines = 20
	consoleTextBytes = 2000
	consoleMaxSource = 1 << 20 // shown of a message with full
)

// Send writes m in one piece. Recipients in Bcc are shown too: the screen is the developer's own.
func (c *console) Send(ctx context.Context, m *Mail) []Outcome {
	err := ctx.Err()
	if err == nil {
		var b bytes.Buffer
		if err = c.show(m, &b); err == nil {
			c.mu.Lock()
			_, err = c.out.Write(b.Bytes())
			c.mu.Unlock()
		}
	}
	return localOutcomes(m, err)
}

// Render writes what Send would.
func (c *console) Render(m *Mail, w io.Writer) error {
	var b bytes.Buffer
	if err := c.show(m, &b); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// localOutcomes gives all recipients of a local kind the same outcome: what fails there is never the mail's fault.
func localOutcomes(m *Mail, err error) []Outcome {
	out := make([]Outcome, len(m.To))
	for i := range out {
		out[i].ID = m.ID
		if err != nil {
			out[i] = Outcome{Err: &Error{Class: Temporary, Err: err}}
		}
	}
	return out
}

func (c *console) show(m *Mail, b *bytes.Buffer) error {
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(b, "%-11s %s\n", label, consoleSafe(value, false))
		}
	}
	fmt.Fprintf(b, "──── mail %s ────\n", consoleSafe(m.ID, false))
	line("envelope", "<"+m.From+"> to "+consoleRecipients(m.To))
	if c.full {
		b.WriteByte('\n')
		source, err := io.ReadAll(io.LimitReader(m.Message.Reader(), consoleMaxSource))
		if err != nil {
			return err
		}
		consoleBody(b, string(source), len(source), len(source)+1)
		if more := m.Message.Source.Size() - int64(len(source)); more > 0 {
			fmt.Fprintf(b, "… %s more\n", consoleBytes(more))
		}
		b.WriteString("────\n")
		return nil
	}
	line("from", consoleAddresses(m.Message.From))
	line("to", consoleAddresses(m.Message.To))
	line("cc", consoleAddresses(m.Message.Cc))
	line("reply-to", consoleAddresses(m.Message.ReplyTo))
	line("subject", m.Message.Subject)
	line("size", consoleBytes(m.Message.Source.Size()))
	if err := consoleContent(b, m.Message); err != nil {
		return err
	}
	b.WriteString("────\n")
	return nil
}

// consoleContent shows the text, or says that there is only HTML, and lists the attachments.
func consoleContent(b *bytes.Buffer, m *mime.Message) error {
	content, err := m.Content()
	if err != nil {
		return err
	}
	if content.Opaque != "" {
		fmt.Fprintf(b, "%-11s %s\n", "kind", consoleSafe(content.Opaque, false))
	}
	switch {
	case content.Text != nil && strings.TrimSpace(content.Text.Text) != "":
		b.WriteByte('\n')
		consoleBody(b, content.Text.Text, consoleTextBytes, consoleTextLines)
	case content.HTML != nil:
		fmt.Fprintf(b, "\n(HTML only, %s)\n", consoleBytes(int64(len(content.HTML.Text))))
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
		fmt.Fprintf(b, "attachment  %s (%s, %s)\n", consoleSafe(a.Name, false), consoleSafe(kind, false), consoleBytes(size))
	}
	return nil
}

// consoleBody shows the start of a text.
func consoleBody(b *bytes.Buffer, text string, maxBytes, maxLines int) {
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
		b.WriteString(consoleSafe(l, true))
		b.WriteByte('\n')
	}
	if cut {
		b.WriteString("…\n")
	}
}

// consoleSafe makes text harmless for a terminal: control characters, with which a message could
// rewrite what is on the screen, and marks that turn the direction of writing show as their numbers.
func consoleSafe(s string, tabs bool) string {
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

func consoleRecipients(to []Recipient) string {
	names := make([]string, len(to))
	for i, r := range to {
		names[i] = "<" + r.Address + ">"
	}
	return strings.Join(names, " ")
}

func consoleAddresses(list []mime.Address) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.Addr
		if a.Name != "" {
			names[i] = a.Name + " <" + a.Addr + ">"
		}
	}
	return strings.Join(names, ", ")
}

func consoleBytes(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

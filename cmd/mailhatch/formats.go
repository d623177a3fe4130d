package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/queue"
)

// writer writes all that a filter finds to stdout.
type writer func(ctx context.Context, a *app, v api.View, f api.LogFilter) error

// format returns what --export asks for; nil: nothing.
func (l *logFlags) format(fs *flag.FlagSet) (writer, error) {
	w, ok := map[string]writer{"": nil, "csv": exportCSV, "json": exportJSON, "mbox": exportMbox}[l.export]
	if !ok {
		return nil, command.Usagef("--export %q: write csv, json or mbox", l.export)
	}
	limited := false
	fs.Visit(func(f *flag.Flag) { limited = limited || f.Name == "limit" })
	if w != nil && !limited {
		l.Limit = 0
	}
	return w, nil
}

// eachEntry calls do for entries of the log, the latest first.
func eachEntry(ctx context.Context, v api.View, f api.LogFilter, do func(e *api.Entry) error) error {
	return eachPage(ctx, v, f, func(l *api.Log) error {
		for i := range l.Entries {
			if err := do(&l.Entries[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func exportCSV(ctx context.Context, a *app, v api.View, f api.LogFilter) error {
	w := csv.NewWriter(a.stdout)
	err := w.Write([]string{"time", "id", "state", "upstream", "from", "to", "given", "subject", "message_id", "provider_id", "attempts", "error", "size", "received"})
	if err != nil {
		return err
	}
	err = eachEntry(ctx, v, f, func(e *api.Entry) error {
		return w.Write([]string{csvTime(e.At), e.ID, string(e.State), e.Upstream, csvText(e.From), csvText(e.To), csvText(e.Given), csvText(e.Header.Subject),
			csvText(e.Header.MessageID), csvText(e.ProviderID), strconv.Itoa(e.Attempts), csvText(e.Error), strconv.FormatInt(e.Size, 10), csvTime(e.Received)})
	})
	w.Flush()
	return errors.Join(err, w.Error())
}

func csvTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// csvText keeps spreadsheets from taking what strangers wrote for a formula, and terminals, on which files end up too, from
// obeying it.
func csvText(s string) string {
	s = terminal.Plain(s)
	if first, _ := utf8.DecodeRuneInString(strings.TrimLeft(s, " \u00a0")); strings.ContainsRune("=+-@＝＋－＠", first) {
		return "'" + s
	}
	return s
}

// exportJSON writes one array.
func exportJSON(ctx context.Context, a *app, v api.View, f api.LogFilter) error {
	sep := "[\n"
	err := eachEntry(ctx, v, f, func(e *api.Entry) error {
		b, err := json.Marshal(e)
		if err == nil {
			_, err = fmt.Fprintf(a.stdout, "%s%s", sep, b)
		}
		sep = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	if sep == "[\n" {
		_, err = fmt.Fprintln(a.stdout, "[]")
	} else {
		_, err = fmt.Fprintln(a.stdout, "\n]")
	}
	return err
}

// exportMbox writes each message once whose bytes are there: of the queue, and those that keep_bodies keeps.
func exportMbox(ctx context.Context, a *app, v api.View, f api.LogFilter) error {
	seen, gone := map[string]bool{}, 0
	err := eachEntry(ctx, v, f, func(e *api.Entry) error {
		if seen[e.ID] {
			return nil
		}
		seen[e.ID] = true
		body, err := v.Open(ctx, e.ID)
		if errors.Is(err, queue.ErrNotFound) {
			gone++
			return nil
		}
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // only read
		return writeMbox(a.stdout, e, body)
	})
	if gone > 0 {
		fmt.Fprintf(a.stderr, "mailhatch: the bytes of %s are not kept any more\n", terminal.Count(gone, "message"))
	}
	return err
}

// writeMbox writes a message as the variant mboxrd of RFC 4155 does: with LF line ends, and a > before lines
// that look like the beginning of the next.
func writeMbox(to io.Writer, e *api.Entry, body io.Reader) error {
	sender := e.From
	if sender == "" || strings.ContainsAny(sender, " \"") {
		sender = "MAILER-DAEMON"
	}
	w := bufio.NewWriter(to)
	fmt.Fprintf(w, "From %s %s\n", sender, e.Received.UTC().Format(time.ANSIC))
	r := bufio.NewReaderSize(body, 64<<10)
	start := true
	for {
		piece, err := r.ReadSlice('\n')
		if start && strings.HasPrefix(strings.TrimLeft(string(piece[:min(len(piece), 1000)]), ">"), "From ") {
			_ = w.WriteByte('>') // errors of w stay until Flush
		}
		start = err == nil || err == io.EOF && len(piece) == 0 && start
		if n := len(piece); n > 1 && piece[n-2] == '\r' && start {
			piece = append(piece[:n-2], '\n')
		}
		_, _ = w.Write(piece)
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	if !start {
		_ = w.WriteByte('\n')
	}
	_ = w.WriteByte('\n')
	return w.Flush()
}

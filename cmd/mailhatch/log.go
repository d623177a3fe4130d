package main

import (
	"context"
	"fmt"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin"
	"mailhatch/gateway/envelope"
	"mailhatch/upstream"
)

// runLog shows what became of messages.
func runLog(ctx context.Context, a *app, args []string) error {
	var f admin.LogFilter
	flags := a.flags("log")
	flags.StringVar(&f.To, "to", "", "`address` of a recipient; * matches any text and ? any character")
	flags.StringVar(&f.From, "from", "", "`address` of the envelope sender, as for --to")
	flags.StringVar(&f.ID, "id", "", "queue `id`")
	flags.IntVar(&f.Limit, "limit", 100, "at most this `number` of lines")
	since := flags.String("since", "", "only after this `time`: 90m or 2d (ago), 2026-03-01, or RFC 3339")
	asJSON := flags.Bool("json", false, "one line of JSON for each recipient")
	rest, err := command.Parse(flags, args)
	if err != nil {
		return err
	}
	if len(rest) == 1 && f.ID == "" {
		f.ID, rest = rest[0], nil
	}
	if len(rest) > 0 {
		return command.Usagef("log takes at most one queue id, got %q", rest[0])
	}
	if f.Since, err = parseSince(*since, time.Now()); err != nil {
		return err
	}
	v, done, err := a.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	l, err := v.Log(ctx, f)
	if err != nil {
		return err
	}
	if len(l.Entries) == 0 && f.ID != "" {
		return fmt.Errorf("no record of message %s", terminal.Plain(f.ID))
	}
	if *asJSON {
		return printLines(a, l.Entries)
	}
	return a.printLog(l)
}

// parseSince parses a duration before now, a day or a time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	var d upstream.Duration
	if err := d.UnmarshalText([]byte(s)); err == nil && d.Duration >= 0 {
		return now.Add(-d.Duration), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, command.Usagef("--since %q: not a time; write 90m, 2d, 2026-03-01 or 2026-03-01T08:00:00Z", s)
}

func (a *app) printLog(l *admin.Log) error {
	if len(l.Entries) == 0 {
		fmt.Fprintln(a.stdout, "nothing found")
		return nil
	}
	t := &terminal.Table{Head: []string{"TIME", "ID", "STATE", "UPSTREAM", "FROM", "TO"}}
	for _, e := range l.Entries {
		to := e.To
		if e.Given != "" && e.Given != e.To {
			to += " (" + e.Given + ")"
		}
		t.Row(terminal.Moment(e.At), e.ID, string(e.State), terminal.OrDash(e.Upstream), terminal.Sender(e.From), to)
		if e.State == envelope.Sent {
			if e.ProviderID != "" {
				t.Note("as " + e.ProviderID)
			}
			continue
		}
		if e.State == envelope.Queued && e.Attempts > 0 {
			t.Note(fmt.Sprintf("%s, next %s", terminal.Count(e.Attempts, "attempt"), terminal.Until(e.NextAt)))
		}
		t.Note(terminal.Clip(e.Error, 300))
	}
	if err := t.Write(a.stdout); err != nil {
		return err
	}
	if l.Truncated {
		fmt.Fprintln(a.stderr, "mailhatch: the list is truncated: narrow the search with --to, --from, --id or --since, or raise --limit")
	}
	return nil
}

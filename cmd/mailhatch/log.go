package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/canary"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// logFlags are the flags of mailhatch log.
type logFlags struct {
	api.LogFilter
	state, since, until, export string
	follow, json                bool
}

func (l *logFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&l.To, "to", "", "`address` of a recipient, or a word in it; * matches any text and ? any character")
	fs.StringVar(&l.From, "from", "", "`address` of the envelope sender, as for --to; <> is the null sender")
	fs.StringVar(&l.ID, "id", "", "queue `id`")
	fs.StringVar(&l.Subject, "subject", "", "`words` in the subject")
	fs.StringVar(&l.state, "state", "", "only recipients in this `state`: queued, held, failed, sent, delivered, bounced, complained, discarded or refused")
	fs.StringVar(&l.Upstream, "upstream", "", "`upstream` that took the mail, or that it waits for")
	fs.StringVar(&l.MessageID, "message-id", "", "Message-ID `field` of the message, with or without brackets")
	fs.StringVar(&l.ProviderID, "provider-id", "", "`id` of the message at the provider")
	fs.StringVar(&l.since, "since", "", "only after this `time`: 2h (ago), 11:30, 9pm, yesterday, monday, last week, 2026-11-30T11:00")
	fs.StringVar(&l.until, "until", "", "only before this `time`, as for --since; a day means its end")
	fs.IntVar(&l.Limit, "limit", 100, "show at most this `number` of recipients, 0 for all; --export writes all by default")
	fs.BoolVar(&l.follow, "follow", false, "show the latest, then follow until Ctrl-C")
	fs.StringVar(&l.export, "export", "", "write everything that matches in this `format`: csv, json or mbox (only messages whose bytes are kept)")
	fs.BoolVar(&l.json, "json", false, "one line of JSON for each recipient")
}

// check completes the filter. rest is what stands beside the flags.
func (l *logFlags) check(rest []string, now time.Time) (err error) {
	if len(rest) == 1 && l.ID == "" {
		if _, ok := queue.ParseID(rest[0]); ok {
			l.ID = rest[0]
		} else {
			l.Word = rest[0]
		}
		rest = nil
	}
	if len(rest) > 0 {
		return command.Usagef("log takes at most one queue id or word, got %s; --subject finds words of the subject", terminal.Plain(strings.Join(rest, " ")))
	}
	if l.State = envelope.State(l.state); l.State != "" && !slices.Contains(envelope.States(), l.State) {
		return command.Usagef("--state %q: write queued, held, failed, sent, delivered, bounced, complained, discarded or refused", l.state)
	}
	if l.since != "" {
		if l.Since, err = search.Since(l.since, now); err != nil {
			return command.Usagef("--since %v", err)
		}
	}
	if l.until != "" {
		if l.Until, err = search.Until(l.until, now); err != nil {
			return command.Usagef("--until %v", err)
		}
	}
	switch {
	case l.follow && (l.until != "" || l.export != ""):
		return command.Usagef("--follow goes neither with --until nor with --export")
	case l.Limit < 0:
		return command.Usagef("--limit %d must not be negative; 0 is for all", l.Limit)
	case l.export != "" && l.json:
		return command.Usagef("--export and --json are two ways to write the same: choose one")
	}
	return nil
}

// runLog shows what became of messages.
func runLog(ctx context.Context, a *app, args []string) error {
	var l logFlags
	flags := a.flags("log")
	l.define(flags)
	rest, err := command.Parse(flags, args)
	if err == nil {
		err = l.check(rest, time.Now())
	}
	if err != nil {
		return err
	}
	write, err := l.format(flags)
	if err != nil {
		return err
	}
	v, done, err := a.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	a.tellWords(&l)
	switch {
	case write != nil:
		return write(ctx, a, v, l.LogFilter)
	case l.follow:
		return a.follow(ctx, v, &l)
	}
	list, err := readLog(ctx, v, l.LogFilter)
	if err != nil {
		return err
	}
	if len(list.Entries) == 0 && l.ID != "" {
		return fmt.Errorf("no record of message %s", terminal.Plain(l.ID))
	}
	if l.json {
		return printLines(a, list.Entries)
	}
	return a.printLog(list)
}

// tellWords says what words that are no whole addresses match.
func (a *app) tellWords(l *logFlags) {
	if l.Word != "" {
		fmt.Fprintf(a.stderr, "mailhatch: %q is not a queue id: showing all senders and recipients that contain it\n", terminal.Plain(l.Word))
	}
	(&partFlags{from: l.From, to: l.To}).tell(a.stderr)
}

// readLog reads as many entries as the filter wants, page by page.
func readLog(ctx context.Context, v api.View, f api.LogFilter) (*api.Log, error) {
	all := &api.Log{}
	err := eachPage(ctx, v, f, func(l *api.Log) error {
		all.Entries = append(all.Entries, l.Entries...)
		all.Truncated, all.Events = l.Truncated, l.Events
		return nil
	})
	return all, err
}

// eachPage calls do for pages of the log until there are as many entries as the filter wants, or no more.
func eachPage(ctx context.Context, v api.View, f api.LogFilter, do func(l *api.Log) error) error {
	for want := f.Limit; ; {
		l, err := v.Log(ctx, f)
		if err != nil {
			return err
		}
		if err := do(l); err != nil {
			return err
		}
		f.After = l.Next
		if f.Limit = want - len(l.Entries); l.Next == "" || want > 0 && f.Limit <= 0 {
			return nil
		}
		want, f.Limit = max(0, f.Limit), max(0, f.Limit)
	}
}

func (a *app) printLog(l *api.Log) error {
	if len(l.Entries) == 0 {
		fmt.Fprintln(a.stdout, "nothing found")
		return nil
	}
	t := &terminal.Table{Head: logHead()}
	for i := range l.Entries {
		addEntry(t, &l.Entries[i])
	}
	if err := t.Write(a.stdout); err != nil {
		return err
	}
	if err := a.printEvents(l.Events); err != nil {
		return err
	}
	if l.Truncated {
		fmt.Fprintln(a.stderr, "mailhatch: the list is truncated: narrow the search with --to, --from, --subject, --id or --since, or raise --limit")
	}
	return nil
}

func logHead() []string { return []string{"TIME", "ID", "STATE", "UPSTREAM", "FROM", "TO"} }

// addEntry adds an entry of the log to a table.
func addEntry(t *terminal.Table, e *api.Entry) {
	to := terminal.OrDash(e.To)
	if e.Given != "" && e.Given != e.To {
		to += " (" + e.Given + ")"
	}
	t.Row(terminal.Moment(e.At), e.ID, string(e.State), terminal.OrDash(e.Upstream), terminal.Sender(e.From), to)
	if strings.HasPrefix(e.Header.Subject, canary.Subject) {
		t.Note("a canary")
	}
	if e.Gateway != "" {
		t.Note("at gateway " + terminal.Plain(e.Gateway))
	}
	if e.State == envelope.Sent || e.State == envelope.Delivered {
		if e.ProviderID != "" {
			t.Note("as " + e.ProviderID)
		}
		return
	}
	if e.State == envelope.Queued && e.Attempts > 0 {
		next := ""
		if !e.Expect.IsZero() {
			next = ", next " + terminal.Until(e.Expect)
		}
		t.Note(terminal.Count(e.Attempts, "attempt") + next)
	}
	if e.Why != string(e.State) {
		t.Note(terminal.Clip(e.Why, 300))
	}
	t.Note(terminal.Clip(lastError(e.Error, e.Why), 300))
}

// printEvents shows what happened to a message before its end.
func (a *app) printEvents(events []api.Step) error {
	if len(events) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout, "\nwhat happened before:")
	t := &terminal.Table{}
	for i := range events {
		e := &events[i]
		who := string(e.Kind)
		if e.By != "" {
			who += " by " + e.By
		}
		if e.Gateway != "" {
			who += " at gateway " + terminal.Plain(e.Gateway)
		}
		where := terminal.OrDash(e.Upstream)
		if e.Lane != "" && e.Lane != e.Upstream {
			where += " → " + e.Lane
		}
		t.Row("  "+terminal.Moment(e.At), who, where, strings.Join(e.To, ", "))
		if words := cmp.Or(e.Words, e.Rule); words != "" {
			t.Note("  " + terminal.Clip(words, 300))
		}
	}
	return t.Write(a.stdout)
}

// How often log --follow looks, with how many entries it begins.
const (
	followEvery = time.Second
	followFirst = 10
	// followBack is how far each look goes back: what ends first is not always known first.
	followBack = 10 * time.Second
)

// follow shows the latest entries, then what is new, until ctx ends or the gateway does not answer for another reason than
// that it does not run.
func (a *app) follow(ctx context.Context, v api.View, l *logFlags) error {
	if _, ok := v.(*api.Client); !ok {
		return command.Hintf(errors.New("the gateway is not running, so there is nothing to follow"), "start it with mailhatch serve")
	}
	f := l.LogFilter
	f.Limit = min(f.Limit, followFirst)
	seen, away := map[string]bool{}, false
	var old time.Time // what is older is not new: the first look has left it out
	t := &terminal.Table{Head: logHead()}
	for wait := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		began := time.Now()
		list, err := readLog(ctx, v, f)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, api.ErrNotRunning):
			if !away {
				fmt.Fprintln(a.stderr, "mailhatch: the gateway has stopped; what happens once it runs again is shown")
			}
			away, wait = true, followEvery
			continue
		case err != nil:
			return err
		}
		away = false
		if err := a.printNew(list, seen, old, t, l.json); err != nil {
			return err
		}
		if n := len(list.Entries); f.Limit > 0 && n == f.Limit {
			old = list.Entries[n-1].At
		}
		f.Limit = 0
		if since := began.Add(-followBack); since.After(f.Since) {
			f.Since = since
		}
		wait = max(followEvery, 10*time.Since(began)) // a long queue takes its time: the gateway has other things to do
	}
}

// printNew prints the entries that were not seen before and are not old, the oldest first.
func (a *app) printNew(l *api.Log, seen map[string]bool, old time.Time, t *terminal.Table, asJSON bool) error {
	next := &terminal.Table{Head: t.Head, Least: t.Least}
	now := map[string]bool{}
	for i := len(l.Entries) - 1; i >= 0; i-- {
		e := &l.Entries[i]
		key := fmt.Sprint(e.ID, e.To, e.State, e.At.UnixNano(), e.Upstream)
		now[key] = true
		switch {
		case seen[key] || e.At.Before(old):
		case asJSON:
			if err := a.printJSON(e); err != nil {
				return err
			}
		default:
			addEntry(next, e)
		}
	}
	clear(seen)
	for key := range now {
		seen[key] = true
	}
	if asJSON {
		return nil
	}
	err := next.Write(a.stdout)
	t.Head, t.Least = nil, next.Least
	return err
}

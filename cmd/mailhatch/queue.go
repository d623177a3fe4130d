package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

const selection = "[--state S] [--upstream U] [--from A] [--to A] [--subject S] [--older T]"

// queueCommands are the words after mailhatch queue.
func queueCommands() []subcommand {
	return []subcommand{
		{"list", selection + " [ID…]", "list the queue, oldest first (the default)", queueList},
		{"show", "ID… " + selection, "show everything known about messages", queueShow},
		{"cat", "ID", "print a message as it is stored", queueCat},
		{"retry", "ID…|--all " + selection, "make queued and failed mail due now, as if it were new", act(api.Retry)},
		{"hold", "ID…|--all " + selection, "keep mail until it is released", act(api.Hold)},
		{"release", "ID…|--all " + selection, "release held mail", act(api.Release)},
		{"delete", "ID…|--all " + selection, "discard mail for good", act(api.Delete)},
		{"move", "--to UPSTREAM|--back ID…|--all " + strings.Replace(selection, "--to", "--recipient", 1), "make mail wait for another upstream, whatever routes say, or give it back to the routes", act(api.Move)},
		{"resend", "ID [--to A]… [--via UPSTREAM]", "accept a message a second time, under a new id", queueResend},
		{"copy", "--from QUEUE --to QUEUE", "copy a queue with its history from a state directory to a database, or back", queueCopy},
		{"export", "DIR [ID…] " + selection, "write messages to files: ID.eml as it is stored, ID.json with all that is known", queueExport},
	}
}

func queueList(ctx context.Context, a *app, args []string) error {
	fs := a.flags("queue list")
	var parts partFlags
	parts.define(fs, "to")
	limit := fs.Int("limit", 0, "at most this `number` of messages; 0 for all")
	asJSON := fs.Bool("json", false, "one line of JSON for each message")
	ids, err := command.Parse(fs, args)
	if err == nil {
		err = parts.check()
	}
	if err == nil && *limit < 0 {
		err = command.Usagef("--limit %d must not be negative", *limit)
	}
	if err != nil {
		return err
	}
	v, done, err := a.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	f := parts.filter(ids)
	f.Limit = *limit
	parts.tell(a.stderr)
	shown, seen := 0, map[string]bool{}
	for {
		p, err := v.List(ctx, f)
		if err != nil {
			return err
		}
		p.Messages = append(p.Maildrop, p.Messages...)
		if err := a.printPage(p, shown == 0, *asJSON); err != nil {
			return err
		}
		for i := range p.Messages {
			seen[p.Messages[i].ID] = true
		}
		shown += len(p.Messages)
		if f.Limit = *limit - shown; p.Next == "" || *limit > 0 && f.Limit <= 0 {
			break
		}
		f.Limit, f.After = max(0, f.Limit), p.Next
	}
	if shown == 0 {
		if err := a.knownUpstream(ctx, parts.upstream); err != nil {
			return err
		}
	}
	missing := slices.DeleteFunc(ids, func(id string) bool { return seen[id] })
	switch {
	case len(missing) > 0 && !parts.given() && *limit == 0:
		return noSuch(missing...)
	case shown == 0 && !*asJSON && parts.given():
		fmt.Fprintln(a.stdout, "nothing in the queue matches")
	case shown == 0 && !*asJSON:
		fmt.Fprintln(a.stdout, "the queue is empty")
	}
	return nil
}

// printPage prints messages; the first page has the heads of the columns.
func (a *app) printPage(p *api.Page, first, asJSON bool) error {
	if asJSON {
		return printLines(a, p.Messages)
	}
	if len(p.Messages) == 0 {
		return nil
	}
	t := &terminal.Table{}
	if first {
		t.Head = []string{"ID", "STATE", "UPSTREAM", "AGE", "NEXT", "TRIES", "SIZE", "FROM", "TO"}
	}
	for _, m := range p.Messages {
		for _, part := range m.Parts {
			t.Row(m.ID, string(part.State), terminal.OrDash(part.Upstream), terminal.Ago(m.Envelope.Received), terminal.Until(part.Expect),
				strconv.Itoa(part.Progress.Attempts), terminal.Size(m.Size), terminal.Sender(m.Envelope.From), recipients(&part))
			if part.Why != string(part.State) {
				t.Note(terminal.Clip(part.Why, 160))
			}
			t.Note(terminal.Clip(lastError(part.Progress.Error, part.Why), 120))
		}
	}
	return t.Write(a.stdout)
}

// lastError names the last error of recipients, unless the reason why they wait tells it.
func lastError(text, why string) string {
	switch {
	case text == "", strings.Contains(why, strings.TrimSuffix(text, ".")):
		return ""
	case why == "":
		return text
	}
	return "last error: " + text
}

func queueShow(ctx context.Context, a *app, args []string) error {
	fs := a.flags("queue show")
	var parts partFlags
	parts.define(fs, "to")
	asJSON := fs.Bool("json", false, "one line of JSON for each message")
	ids, err := command.Parse(fs, args)
	if err == nil {
		err = parts.check()
	}
	if err != nil {
		return err
	}
	if len(ids) == 0 && !parts.given() {
		return command.Usagef("queue show: name messages")
	}
	v, done, err := a.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	parts.tell(a.stderr)
	shown := 0
	show := func(m *api.Message) error {
		if *asJSON {
			return a.printJSON(m)
		}
		if shown++; shown > 1 {
			fmt.Fprintln(a.stdout)
		}
		return printMessage(a.stdout, m)
	}
	if parts.given() {
		return eachMessage(ctx, v, parts.filter(ids), show)
	}
	for _, id := range ids {
		m, err := v.Show(ctx, id)
		if errors.Is(err, queue.ErrNotFound) {
			return noSuch(id)
		}
		if err == nil {
			err = show(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eachMessage calls do for the messages that a filter names, those of the maildrop first, a page at a time.
func eachMessage(ctx context.Context, v api.View, f api.Filter, do func(m *api.Message) error) error {
	for {
		p, err := v.List(ctx, f)
		if err != nil {
			return err
		}
		list := append(p.Maildrop, p.Messages...)
		for i := range list {
			if err := do(&list[i]); err != nil {
				return err
			}
		}
		if f.After = p.Next; p.Next == "" {
			return nil
		}
	}
}

// noSuch is an error about messages that are not in the queue.
func noSuch(ids ...string) error {
	err := fmt.Errorf("no such message in the queue: %s", terminal.Plain(strings.Join(ids, ", ")))
	if _, ok := queue.ParseID(ids[0]); !ok {
		return command.Hintf(err, "mailhatch queue list shows the ids; mail in the maildrop gets its id when the gateway takes it in")
	}
	return command.Hintf(err, "mailhatch log --id %s shows what became of it", terminal.Plain(ids[0]))
}

func printMessage(w io.Writer, m *api.Message) error {
	t := &terminal.Table{}
	field := func(name, value string) {
		if value != "" {
			t.Row(name, value)
		}
	}
	e := &m.Envelope
	field("id", m.ID)
	field("envelope from", terminal.Sender(e.From))
	field("envelope id", e.EnvID)
	field("from", m.Header.From)
	field("subject", m.Header.Subject)
	field("message id", m.Header.MessageID)
	field("size", terminal.Size(m.Size))
	field("received", terminal.Moment(e.Received)+" ("+terminal.Ago(e.Received)+" ago)"+clientOf(e))
	for _, p := range m.Parts {
		t.Row("")
		t.Row(string(p.State), partLine(&p))
		t.Row("  why", p.Why)
		for _, to := range p.To {
			given := ""
			if to.Given != "" && to.Given != to.Address {
				given = " (sent to " + to.Given + ")"
			}
			t.Row("  to", to.Address+given)
		}
		pr := &p.Progress
		if pr.Error != "" || pr.Class != "" {
			t.Row("  last error", strings.TrimSpace(strings.Trim(pr.Class+": "+pr.Error, ": ")))
		}
		if pr.Uncertain {
			t.Row("  uncertain", terminal.OrDash(pr.Upstream)+" may have accepted it already: no other upstream is tried")
		}
		if pr.Moved != "" {
			t.Row("  moved", "to "+pr.Moved+" by an operator: routes have no say")
		}
		field("  passed", strings.Join(pr.Passed, ", "))
		field("  unfit", strings.Join(pr.Unfit, ", "))
	}
	return t.Write(w)
}

// clientOf describes the client that submitted the message.
func clientOf(e *envelope.Envelope) string {
	var s strings.Builder
	if e.Client.Addr.IsValid() {
		s.WriteString(" from " + e.Client.Addr.String())
	}
	if e.Client.Helo != "" {
		s.WriteString(" (" + e.Client.Helo + ")")
	}
	if e.Client.User != "" {
		s.WriteString(" as " + e.Client.User)
	}
	if e.Client.Protocol != "" {
		s.WriteString(" by " + e.Client.Protocol)
	}
	if e.Gateway != "" {
		s.WriteString(" at gateway " + e.Gateway)
	}
	return s.String()
}

func partLine(p *api.Part) string {
	words := []string{}
	if p.Upstream != "" {
		words = append(words, "for "+p.Upstream)
	}
	attempts := terminal.Count(p.Progress.Attempts, "attempt")
	if !p.Progress.Renewed.IsZero() { // the last may have been before that
		attempts += " since it was retried"
	}
	words = append(words, attempts)
	if !p.Progress.LastAttempt.IsZero() {
		last := "the last " + terminal.Ago(p.Progress.LastAttempt) + " ago"
		if p.Progress.Gateway != "" {
			last += " at gateway " + p.Progress.Gateway
		}
		words = append(words, last)
	}
	if !p.Expect.IsZero() {
		words = append(words, "next "+terminal.Until(p.Expect))
	}
	return strings.Join(words, ", ")
}

func queueCat(ctx context.Context, a *app, args []string) error {
	ids, err := command.Parse(a.flags("queue cat"), args)
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return command.Usagef("queue cat: name one message")
	}
	v, done, err := a.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	body, err := v.Open(ctx, ids[0])
	if errors.Is(err, queue.ErrNotFound) {
		return noSuch(ids[0])
	}
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read
	_, err = io.Copy(a.stdout, body)
	return err
}

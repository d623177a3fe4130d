package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// queueCommands are the words after mailhatch queue.
func queueCommands() []subcommand {
	return []subcommand{
		{"list", "[--state S] [--upstream U] [ID…]", "list the queue, oldest first (the default)", queueList},
		{"show", "ID…", "show everything known about messages", queueShow},
		{"cat", "ID", "print a message as it is stored", queueCat},
		{"retry", "ID…|--all", "make queued and failed mail due now, as if it were new", act(admin.Retry)},
		{"hold", "ID…|--all", "keep mail until it is released", act(admin.Hold)},
		{"release", "ID…|--all", "release held mail", act(admin.Release)},
		{"delete", "ID…|--all", "discard mail for good", act(admin.Delete)},
	}
}

// runQueue lists and manages queued mail.
func runQueue(ctx context.Context, a *app, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") && !isHelp(args[0]) {
		return queueList(ctx, a, args)
	}
	if isHelp(args[0]) {
		return flag.ErrHelp
	}
	for _, c := range queueCommands() {
		if c.name == args[0] {
			return c.run(ctx, a, args[1:])
		}
	}
	return command.Usagef("queue has no command %q; use list, show, cat, retry, hold, release or delete", args[0])
}

func isHelp(s string) bool { return s == "help" || s == "-h" || s == "-help" || s == "--help" }

// selectFlags are the flags that choose messages.
func selectFlags(fs *flag.FlagSet) (state, upstream *string) {
	state = fs.String("state", "", "only messages with recipients in this `state`: queued, held or failed")
	upstream = fs.String("upstream", "", "only messages that wait for this `upstream`")
	fs.StringVar(upstream, "lane", "", "only messages that wait for this `upstream`")
	return state, upstream
}

func checkState(s string) error {
	switch envelope.State(s) {
	case "", envelope.Queued, envelope.Held, envelope.Failed:
		return nil
	}
	return command.Usagef("--state %q: write queued, held or failed", s)
}

func queueList(ctx context.Context, a *app, args []string) error {
	fs := a.flags("queue list")
	state, upstream := selectFlags(fs)
	limit := fs.Int("limit", 0, "at most this `number` of messages; 0 for all")
	asJSON := fs.Bool("json", false, "one line of JSON for each message")
	ids, err := command.Parse(fs, args)
	if err == nil {
		err = checkState(*state)
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
	f := admin.Filter{IDs: ids, State: envelope.State(*state), Upstream: *upstream, Limit: *limit}
	shown, seen := 0, map[string]bool{}
	for {
		p, err := v.List(ctx, f)
		if err != nil {
			return err
		}
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
	missing := slices.DeleteFunc(ids, func(id string) bool { return seen[id] })
	if len(missing) > 0 && f.State == "" && f.Upstream == "" && *limit == 0 {
		return noSuch(missing...)
	}
	if shown == 0 && !*asJSON {
		fmt.Fprintln(a.stdout, "the queue is empty")
	}
	return nil
}

// printPage prints messages; the first page has the heads of the columns.
func (a *app) printPage(p *admin.Page, first, asJSON bool) error {
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
			to := part.To[0].Address
			if n := len(part.To); n > 1 {
				to += fmt.Sprintf(" +%d", n-1)
			}
			next := "-"
			if part.State == envelope.Queued {
				next = terminal.Until(part.NextAt)
			}
			t.Row(m.ID, string(part.State), terminal.OrDash(part.Upstream), terminal.Ago(m.Envelope.Received), next, strconv.Itoa(part.Progress.Attempts),
				terminal.Size(m.Size), terminal.Sender(m.Envelope.From), to)
			t.Note(terminal.Clip(part.Progress.Error, 120))
		}
	}
	return t.Write(a.stdout)
}

func queueShow(ctx context.Context, a *app, args []string) error {
	fs := a.flags("queue show")
	asJSON := fs.Bool("json", false, "one line of JSON for each message")
	ids, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return command.Usagef("queue show: name messages")
	}
	v, done, err := a.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	for i, id := range ids {
		m, err := v.Show(ctx, id)
		if errors.Is(err, queue.ErrNotFound) {
			return noSuch(id)
		}
		if err != nil {
			return err
		}
		if *asJSON {
			err = a.printJSON(m)
		} else {
			if i > 0 {
				fmt.Fprintln(a.stdout)
			}
			err = printMessage(a.stdout, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noSuch is an error about messages that are not in the queue.
func noSuch(ids ...string) error {
	return command.Hintf(fmt.Errorf("no such message in the queue: %s", terminal.Plain(strings.Join(ids, ", "))), "mailhatch log --id %s shows what became of it", terminal.Plain(ids[0]))
}

func printMessage(w io.Writer, m *admin.Message) error {
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
	return s.String()
}

func partLine(p *admin.Part) string {
	words := []string{}
	if p.Upstream != "" {
		words = append(words, "for "+p.Upstream)
	}
	words = append(words, terminal.Count(p.Progress.Attempts, "attempt"))
	if !p.Progress.LastAttempt.IsZero() {
		words = append(words, "the last "+terminal.Ago(p.Progress.LastAttempt)+" ago")
	}
	if p.State == envelope.Queued {
		words = append(words, "next "+terminal.Until(p.NextAt))
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

// act returns the command for an action.
func act(action admin.Action) func(ctx context.Context, a *app, args []string) error {
	return func(ctx context.Context, a *app, args []string) error {
		fs := a.flags("queue " + string(action))
		state, upstream := selectFlags(fs)
		all := fs.Bool("all", false, "all mail; with --state or --upstream only recipients that these name")
		asJSON := fs.Bool("json", false, "one JSON object")
		ids, err := command.Parse(fs, args)
		if err == nil {
			err = checkState(*state)
		}
		switch {
		case err != nil:
			return err
		case *all && len(ids) > 0:
			return command.Usagef("queue %s: name messages or use --all, not both", action)
		case !*all && len(ids) == 0:
			return command.Usagef("queue %s: name messages, or use --all", action)
		case !*all && (*state != "" || *upstream != ""):
			return command.Usagef("queue %s: --state and --upstream need --all", action)
		}
		client, _, err := a.client(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		sel := admin.Selection{IDs: ids, All: *all, State: envelope.State(*state), Upstream: *upstream}
		changed, err := client.Act(ctx, action, sel)
		if err != nil {
			return err
		}
		return a.printChanged(action, changed, *asJSON)
	}
}

func (a *app) printChanged(action admin.Action, c *admin.Changed, asJSON bool) error {
	if asJSON {
		if err := a.printJSON(c); err != nil {
			return err
		}
	} else {
		done := map[admin.Action]string{admin.Retry: "due now", admin.Hold: "held", admin.Release: "released", admin.Delete: "deleted"}[action]
		fmt.Fprintln(a.stdout, terminal.Count(c.Changed, "message"), done)
	}
	if len(c.Missing) > 0 {
		return noSuch(c.Missing...)
	}
	return nil
}

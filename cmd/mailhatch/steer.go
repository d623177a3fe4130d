package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/envelope"
)

// partFlags choose parts of messages: recipients that wait together.
type partFlags struct {
	state, upstream, from, to, subject, older string
	toFlag                                    string // its name, where that is not --to
}

// define defines the flags; to is the name of the one for recipients.
func (p *partFlags) define(fs *flag.FlagSet, to string) {
	p.toFlag = to
	fs.Var(&command.Once{Value: &p.state}, "state", "only recipients in this `state`: queued, held or failed; queue list also knows maildrop")
	fs.Var(&command.Once{Value: &p.upstream}, "upstream", "only recipients that wait for this `upstream`")
	fs.Var(&command.Once{Value: &p.upstream}, "lane", "only recipients that wait for this `upstream`")
	fs.Var(&command.Once{Value: &p.from}, "from", "only mail of this envelope sender: an `address`, or a word in it; * matches any text and ? any character, <> is the null sender")
	fs.Var(&command.Once{Value: &p.to}, to, "only recipients with this `address`, as for --from")
	fs.Var(&command.Once{Value: &p.subject}, "subject", "only mail with this `text` in the subject; with * or ? the whole subject must match")
	fs.Var(&command.Once{Value: &p.older}, "older", "only mail accepted before this `time`: 2h (ago), yesterday, 11:30, 2026-11-30T11:00")
}

func (p *partFlags) given() bool { return *p != partFlags{toFlag: p.toFlag} }

// check finds mistakes in the flags, and makes times independent of when they are read.
func (p *partFlags) check() error {
	switch envelope.State(p.state) {
	case "", envelope.Queued, envelope.Held, envelope.Failed, api.InMaildrop:
	default:
		return command.Usagef("--state %q: write queued, held or failed", p.state)
	}
	if p.older == "" {
		return nil
	}
	t, err := search.Since(p.older, time.Now())
	if err != nil {
		return command.Usagef("--older %v", err)
	}
	p.older = t.Format(time.RFC3339Nano)
	return nil
}

func (p *partFlags) filter(ids []string) api.Filter {
	return api.Filter{IDs: ids, State: envelope.State(p.state), Upstream: p.upstream, From: p.from, To: p.to, Subject: p.subject, Older: p.older}
}

// tell says which words match within an address.
func (p *partFlags) tell(w io.Writer) {
	for _, f := range [][2]string{{"from", p.from}, {cmp.Or(p.toFlag, "to"), p.to}} {
		if pattern := search.Address(f[1]); pattern != f[1] {
			fmt.Fprintf(w, "mailhatch: --%s %s is not a whole address: it matches every address that contains it\n", f[0], terminal.Plain(f[1]))
		}
	}
}

// act returns the command for an action.
func act(action api.Action) func(ctx context.Context, a *app, args []string) error {
	return func(ctx context.Context, a *app, args []string) error {
		fs := a.flags("queue " + string(action))
		var parts partFlags
		var sel api.Selection
		if action == api.Move {
			parts.define(fs, "recipient")
			fs.StringVar(&sel.Target, "to", "", "the `upstream` to which the mail is moved, whatever the routes say")
			fs.BoolVar(&sel.Back, "back", false, "give moved mail back to the routes")
		} else {
			parts.define(fs, "to")
		}
		all := fs.Bool("all", false, "act on all mail that the other flags select")
		yes := fs.Bool("yes", false, "do not ask for confirmation")
		asJSON := fs.Bool("json", false, "one JSON object")
		wait := time.Duration(0)
		if action == api.Retry {
			fs.DurationVar(&wait, "wait", retryWait, "wait up to this `time` for the result and print it; 0 does not wait")
		}
		ids, err := command.Parse(fs, args)
		if err == nil {
			err = parts.check()
		}
		switch {
		case err != nil:
			return err
		case wait < 0 || wait > time.Minute:
			return command.Usagef("--wait %v: write 0, or a time of up to 60s", wait)
		case *all && len(ids) > 0:
			return command.Usagef("queue %s: name messages or use --all, not both", action)
		case !*all && len(ids) == 0 && !parts.given():
			return command.Usagef("queue %s: name messages, or use --all", action)
		case action == api.Move && (sel.Target == "") != sel.Back:
			return command.Usagef("queue move: --to names the upstream, or --back gives mail to the routes again; --recipient chooses recipients")
		}
		client, _, err := a.client(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		parts.choose(&sel, ids)
		parts.tell(a.stderr)
		if !*yes && (sel.All || parts.given()) && terminal.Interactive(a.stdin) && terminal.Interactive(a.stderr) {
			if done, err := a.agree(ctx, client, action, &sel); done || err != nil {
				return err
			}
		}
		var changed *api.Changed
		if action == api.Retry {
			changed, err = client.Retry(ctx, sel, wait)
		} else {
			changed, err = client.Act(ctx, action, sel)
		}
		if err != nil {
			return err
		}
		return a.tellChanged(ctx, client, action, &sel, changed, *asJSON)
	}
}

// retryWait is how long a retry waits to tell what became of the mail.
const retryWait = 10 * time.Second

// choose puts the flags into a selection.
func (p *partFlags) choose(sel *api.Selection, ids []string) {
	sel.IDs, sel.All = ids, len(ids) == 0
	sel.State, sel.Upstream, sel.From, sel.To, sel.Subject, sel.Older = envelope.State(p.state), p.upstream, p.from, p.to, p.subject, p.older
}

// agree shows on the terminal what an action will touch and asks whether to go on; mail that is accepted after that
// is left out. done: there is nothing to do.
func (a *app) agree(ctx context.Context, client *api.Client, action api.Action, sel *api.Selection) (done bool, err error) {
	dry := *sel
	dry.DryRun = true
	would, err := client.Act(ctx, action, dry)
	if err != nil {
		return false, err
	}
	if would.Changed == 0 {
		return true, a.tellChanged(ctx, client, action, sel, would, false)
	}
	printTouched(a.stderr, deedWords(action, sel), would)
	switch ok, err := a.confirm(ctx, "Go on?"); {
	case err != nil:
		return false, err
	case !ok:
		return false, errors.New("nothing was changed")
	}
	if sel.Older == "" {
		sel.Older = would.At.Format(time.RFC3339Nano)
	}
	return false, nil
}

// deedWords says what is about to be done.
func deedWords(action api.Action, sel *api.Selection) string {
	switch {
	case sel.Back:
		return string(action) + " back to the routes"
	case sel.Target != "":
		return string(action) + " to " + terminal.Plain(sel.Target)
	}
	return string(action)
}

func printTouched(w io.Writer, deed string, c *api.Changed) {
	than := ""
	if c.More {
		than = "more than "
	}
	fmt.Fprintf(w, "%s: %s%s of %s\n", deed, than, terminal.Count(c.Recipients, "recipient"), terminal.Count(c.Changed, "message"))
	for _, g := range c.Groups {
		fmt.Fprintf(w, "  %s %s%s\n", terminal.Count(g.Recipients, "recipient"), g.State, forUpstream(g.Upstream))
	}
	if c.Stay > 0 {
		fmt.Fprintf(w, "  %s\n", stays(c.Stay))
	}
	fmt.Fprintln(w, "such as")
	t := &terminal.Table{}
	for _, m := range c.Examples {
		for i := range m.Parts {
			t.Row("  "+m.ID, string(m.Parts[i].State), terminal.Sender(m.Envelope.From), recipients(&m.Parts[i]), terminal.Clip(m.Header.Subject, 60))
		}
	}
	_ = t.Write(w) // the terminal has gone
}

func forUpstream(name string) string {
	if name == "" {
		return ""
	}
	return " for " + terminal.Plain(name)
}

// recipients names the first recipient of a part and counts the others.
func recipients(p *api.Part) string {
	switch n := len(p.To); n {
	case 0:
		return "-"
	case 1:
		return p.To[0].Address
	default:
		return fmt.Sprintf("%s +%d", p.To[0].Address, n-1)
	}
}

// confirm asks a question on the terminal. Only y or yes is a yes.
func (a *app) confirm(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(terminal.Raw(a.stderr), question+" [y/N] ")
	answer, err := terminal.NewLines(a.stdin).Next(ctx)
	if ctx.Err() != nil {
		fmt.Fprintln(a.stderr)
		return false, fmt.Errorf("%w: nothing was changed", command.ErrInterrupted)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return err == nil && (answer == "y" || answer == "yes"), nil
}

// printChanged says what an action did.
func (a *app) printChanged(action api.Action, sel *api.Selection, c *api.Changed, asJSON bool) error {
	if asJSON {
		if err := a.printJSON(c); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(a.stdout, changedLine(action, sel, c))
		if n := c.Offered; n > 0 && action == api.Hold {
			fmt.Fprintf(a.stderr, "hint: %s %s being offered right now, and held only if the upstream does not take the mail\n", terminal.Count(n, "recipient"), oneOrMore(n, "is", "are"))
		}
		a.printStay(sel.Target, c)
		printTried(a.stdout, c)
	}
	switch {
	case len(c.Missing) > 0:
		return noSuch(c.Missing...)
	case c.Stay > 0:
		return fmt.Errorf("%s where %s before", stays(c.Stay), oneOrMore(c.Stay, "it was", "they were"))
	case c.Changed == 0 && c.Busy > 0:
		return errors.New("nothing was changed")
	}
	return nil
}

func changedLine(action api.Action, sel *api.Selection, c *api.Changed) string {
	moved := "moved to " + terminal.Plain(sel.Target)
	if sel.Back {
		moved = "given back to the routes"
	}
	done := map[api.Action]string{api.Retry: "due now", api.Hold: "held", api.Release: "released", api.Delete: "deleted",
		api.Move: moved}[action]
	line := terminal.Count(c.Changed, "message") + " " + done
	chosen := sel.State != "" || sel.Upstream != "" || sel.From+sel.To+sel.Subject != ""
	switch { // where recipients were chosen, others of the same message may be as they were
	case chosen || action == api.Move:
		return terminal.Count(c.Recipients, "recipient") + " of " + line
	case c.Recipients != c.Changed:
		return line + ", " + terminal.Count(c.Recipients, "recipient")
	}
	return line
}

// stays says so of some recipients.
func stays(n int) string { return terminal.Count(n, "recipient") + oneOrMore(n, " stays", " stay") }

func oneOrMore(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

const maxStay = 20 // lines about what stays

// printStay says what a move left, and what else it takes until it goes.
func (a *app) printStay(target string, c *api.Changed) {
	for i, r := range c.Refused {
		if i == maxStay {
			fmt.Fprintf(a.stdout, "  and others; --json shows %d\n", len(c.Refused))
			break
		}
		to := strings.Join(r.To[:min(len(r.To), 3)], ", ")
		if n := len(r.To) - 3; n > 0 {
			to += fmt.Sprintf(" +%d", n)
		}
		fmt.Fprintf(a.stdout, "  stays: %s to %s: %s\n", r.ID, terminal.Plain(to), terminal.Plain(r.Why))
	}
	if c.Busy > 0 {
		fmt.Fprintf(a.stderr, "hint: %s because %s being offered right now: repeat the command\n", stays(c.Busy), oneOrMore(c.Busy, "it is", "they are"))
	}
	if target == "" {
		return
	}
	waits := map[envelope.State]int{}
	for _, g := range c.Groups {
		waits[g.State] += g.Recipients
	}
	for _, w := range []struct {
		state  envelope.State
		action api.Action
	}{{envelope.Failed, api.Retry}, {envelope.Held, api.Release}} {
		if n := waits[w.state]; n > 0 {
			fmt.Fprintf(a.stderr, "hint: %s %s, as before: mailhatch queue %s --state %s --upstream %s\n", terminal.Count(n, "recipient"), w.state, w.action, w.state, target)
		}
	}
}

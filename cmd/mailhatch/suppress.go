package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/upstream"
)

// suppressCommands are the words after mailhatch suppress.
func suppressCommands() []subcommand {
	return []subcommand{
		{"list", "[ADDRESS|WORD]", "show the addresses that get no mail, and why (the default)", suppressList},
		{"add", "ADDRESS…", "add addresses to the list", suppressAdd},
		{"remove", "ADDRESS…", "remove addresses from the list", suppressRemove},
		{"import", "FILE", "add the addresses of a file (one per line, or CSV as export writes it; - is standard input), or of a provider's list (--from)", suppressImport},
		{"export", "[ADDRESS|WORD]", "print the list as CSV", suppressExport},
	}
}

// suppressFlags choose entries of the list.
type suppressFlags struct{ sender, reason string }

func (f *suppressFlags) define(fs *flag.FlagSet, sender, reason string) {
	fs.Var(&command.Once{Value: &f.sender}, "sender", sender)
	if reason != "" {
		fs.Var(&command.Once{Value: &f.reason}, "reason", reason)
	}
}

func suppressList(ctx context.Context, a *app, args []string) error {
	fs := a.flags("suppress list")
	asJSON := fs.Bool("json", false, "one line of JSON for each address")
	limit := fs.Int("limit", 100, "show at most this `many`, newest first; 0 shows all")
	var f suppressFlags
	f.define(fs, "only entries for mail from this sender `domain`", "only this `reason`: bounced, complained, unsubscribed, suppressed (by the provider) or manual")
	words, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(words) > 1 || *limit < 0 {
		return command.Usagef("suppress list: name one address, or a word in it; --limit is a number")
	}
	t := &terminal.Table{Head: []string{"ADDRESS", "SENDERS", "REASON", "SINCE", "UNTIL", "BY"}}
	shown := 0
	more, err := a.eachSuppressed(ctx, suppressed.Filter{Address: strings.Join(words, ""), Domain: f.sender, Reason: f.reason}, *limit, func(e *suppressed.Suppression) error {
		if shown++; *asJSON {
			return a.printJSON(e)
		}
		t.Row(e.Address, cmp.Or(e.Domain, "all"), string(e.Reason), terminal.Moment(e.At), untilWhen(e.Until), cmp.Or(e.By, e.Upstream, "-"))
		t.Note(terminal.Clip(e.Words, 200))
		return nil
	})
	switch {
	case err != nil || *asJSON:
		return err
	case shown == 0:
		text := "no address is suppressed"
		if len(words) > 0 || f != (suppressFlags{}) {
			text = "no suppressed address matches"
		}
		fmt.Fprintln(a.stdout, text)
		return nil
	}
	if err := t.Write(a.stdout); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(a.stderr, "mailhatch: these are the newest %d: --limit 0 shows all\n", shown)
	}
	return nil
}

func untilWhen(t time.Time) string {
	if t.IsZero() {
		return "lifted"
	}
	return terminal.Moment(t)
}

// eachSuppressed reads the list of the running gateway, or of the store of a stopped one, until there were most entries; 0: to
// its end.
func (a *app) eachSuppressed(ctx context.Context, f suppressed.Filter, most int, each func(*suppressed.Suppression) error) (more bool, err error) {
	read, done, err := a.suppressedReader(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	for n := 0; ; {
		if most > 0 {
			f.Limit = min(most-n, suppressed.MaxPage)
		}
		p, err := read(ctx, f)
		if err != nil {
			return false, err
		}
		for i := range p.Entries {
			if err := each(&p.Entries[i]); err != nil {
				return false, err
			}
		}
		n += len(p.Entries)
		if f.After = p.Next; p.Next == "" || most > 0 && n >= most {
			return p.Next != "", nil
		}
	}
}

func (a *app) suppressedReader(ctx context.Context) (read func(context.Context, suppressed.Filter) (*suppressed.Suppressions, error), done func(), err error) {
	client, stateDir, err := a.client(ctx)
	if err == nil {
		return client.Suppressed, client.Close, nil
	}
	if !errors.Is(err, api.ErrNotRunning) {
		return nil, nil, err
	}
	engine, settings, storeErr := a.storeOf(stateDir)
	if storeErr != nil {
		return nil, nil, storeErr
	}
	store, openErr := engines.Read(ctx, engine, settings)
	switch {
	case errors.Is(openErr, fs.ErrNotExist):
		return nil, nil, err
	case openErr != nil:
		return nil, nil, openErr
	}
	return func(ctx context.Context, f suppressed.Filter) (*suppressed.Suppressions, error) {
			return suppressed.List(ctx, store, f)
		},
		func() { _ = store.Close() }, nil
}

func suppressAdd(ctx context.Context, a *app, args []string) error {
	fs := a.flags("suppress add")
	asJSON := fs.Bool("json", false, "one JSON object")
	var f suppressFlags
	f.define(fs, "only for mail from this sender `domain`; without it for all mail", "why, for the record and the refusal: manual (the default), bounced, complained or unsubscribed (a `reason`)")
	var note, span string
	fs.Var(&command.Once{Value: &note}, "note", "a `text` for the record; refused clients see it")
	fs.Var(&command.Once{Value: &span}, "for", "a `time` after which the entry ends, such as 30d (default: it stays until it is removed)")
	addresses, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		return command.Usagef("suppress add: name the addresses")
	}
	until, err := after(span)
	if err != nil {
		return err
	}
	var entries []suppressed.Suppression
	for _, address := range addresses {
		entries = append(entries, suppressed.Suppression{Address: address, Domain: f.sender, Reason: queue.SuppressionReason(f.reason), Until: until, Words: note})
	}
	client, _, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	added, err := suppress(ctx, client, entries)
	if err != nil {
		return err
	}
	return a.tellAdded(added, *asJSON)
}

// after returns the time that lies a span ahead; "" is never.
func after(span string) (time.Time, error) {
	if span == "" {
		return time.Time{}, nil
	}
	var d upstream.Duration
	if err := d.UnmarshalText([]byte(span)); err != nil || d.Duration <= 0 {
		return time.Time{}, command.Usagef("--for %q: write a time with a unit, such as 30d or 12h", span)
	}
	return time.Now().Add(d.Duration), nil
}

// suppress puts entries on the list of the running gateway, some at a time.
func suppress(ctx context.Context, c *api.Client, entries []suppressed.Suppression) (*suppressed.Added, error) {
	all := &suppressed.Added{}
	for len(entries) > 0 {
		n := min(len(entries), suppressed.MaxPage)
		added, err := c.Suppress(ctx, suppressed.Addition{Entries: entries[:n]})
		if err != nil {
			return all, err
		}
		all.Read, all.Added, entries = all.Read+added.Read, all.Added+added.Added, entries[n:]
	}
	return all, nil
}

func (a *app) tellAdded(n *suppressed.Added, asJSON bool) error {
	if asJSON {
		return a.printJSON(n)
	}
	text := terminal.Count(n.Added, "address") + " put on the list"
	if there := n.Read - n.Skipped - n.Added; there > 0 {
		text += "; " + terminal.Count(there, "address") + " there already"
	}
	if n.Skipped > 0 {
		text += fmt.Sprintf("; %d of the provider's entries are not addresses", n.Skipped)
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

func suppressRemove(ctx context.Context, a *app, args []string) error {
	fs := a.flags("suppress remove")
	asJSON := fs.Bool("json", false, "one JSON object")
	var f suppressFlags
	f.define(fs, "only the entry for mail from this sender `domain`; without it each", "")
	var provider string
	fs.Var(&command.Once{Value: &provider}, "upstream", "also remove them from the list of the provider of this `upstream`")
	names, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(names) == 0 || len(names) > suppressed.MaxPage {
		return command.Usagef("suppress remove: name the addresses, at most %d", suppressed.MaxPage)
	}
	client, _, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	ask := suppressed.Removal{Addresses: names, Upstream: provider}
	if f.sender != "" {
		ask.Domain = &f.sender
	}
	removed, err := client.Unsuppress(ctx, ask)
	switch {
	case err != nil:
		return err
	case *asJSON:
		return a.printJSON(removed)
	}
	for _, e := range removed.Entries {
		fmt.Fprintf(a.stdout, "%s is off the list for mail from %s; it was there as %s since %s\n", terminal.Plain(e.Address), terminal.Plain(cmp.Or(e.Domain, "all senders")), e.Reason, terminal.Moment(e.At))
	}
	if len(removed.Provider) > 0 {
		fmt.Fprintf(a.stdout, "the provider of %s no longer lists %s\n", terminal.Plain(provider), terminal.Plain(strings.Join(removed.Provider, ", ")))
	}
	if len(removed.Missing) > 0 && len(removed.Provider) == 0 {
		return fmt.Errorf("not on the list: %s", terminal.Plain(strings.Join(removed.Missing, ", ")))
	}
	return nil
}

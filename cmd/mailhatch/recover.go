package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
)

// runRecover rebuilds a queue that does not open, and puts back mail that was set aside.
func runRecover(ctx context.Context, a *app, args []string) error {
	flags := a.flags("recover")
	ids, err := command.Parse(flags, args)
	if err != nil {
		return err
	}
	stateDir, _, err := a.dirs()
	if err != nil {
		return err
	}
	engine, settings, err := a.storeOf(stateDir)
	if err != nil {
		return err
	}
	r, err := engines.Recover(ctx, engine, settings, ids)
	a.printRecovery(&r)
	switch {
	case errors.Is(err, queue.ErrLocked):
		return command.Hintf(err, "stop the gateway first")
	case errors.Is(err, fs.ErrNotExist):
		return command.Hintf(err, "name the config of the gateway with -c; the ids are those of the files in lost+found")
	}
	return err
}

// printRecovery shows what a recovery has done.
func (a *app) printRecovery(r *queue.Recovery) {
	if r.Damage == "" {
		fmt.Fprintln(a.stdout, "the log of the queue is whole")
	} else {
		fmt.Fprintln(a.stdout, terminal.Plain(r.Damage))
	}
	for _, name := range r.Kept {
		fmt.Fprintln(a.stdout, "kept:", terminal.Plain(filepath.Base(name)))
	}
	for _, m := range r.Restored {
		fmt.Fprintf(a.stdout, "back, on hold: %s from <%s>, %s, recovered from %s\n", m.ID, terminal.Plain(m.From), terminal.Size(m.Size), m.Source)
		for _, to := range m.To {
			fmt.Fprintf(a.stdout, "  to <%s>\n", terminal.Plain(to.Address))
		}
	}
	for _, name := range r.Aside {
		fmt.Fprintln(a.stdout, "set aside in lost+found:", terminal.Plain(name))
	}
	for _, words := range r.Doubt {
		fmt.Fprintln(a.stdout, "in doubt:", terminal.Plain(words))
	}
	if len(r.Restored) > 0 {
		fmt.Fprintf(a.stdout, "\n%s on hold, as %s been sent, or held by a route: once the gateway runs again, look with\n"+
			"mailhatch queue list --state held, then mailhatch queue release ID or delete ID; --all would release what routes\n"+
			"and people hold as well\n", terminal.Count(len(r.Restored), "message")+oneOrMore(len(r.Restored), " is", " are"),
			oneOrMore(len(r.Restored), "it may have", "they may have"))
	}
}

package main

import (
	"context"
	"fmt"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
)

// runGateways lists the gateways that share the queue.
func runGateways(ctx context.Context, a *app, args []string) error {
	flags := a.flags("gateways")
	asJSON := flags.Bool("json", false, "one line of JSON for each gateway")
	if err := command.ParseAlone(flags, args); err != nil {
		return err
	}
	client, _, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		return printLines(a, s.Gateways)
	}
	if s.Gateway == "" {
		fmt.Fprintln(a.stdout, "the queue is this gateway's alone: it is kept in its state directory")
		return nil
	}
	return gatewayTable(s).Write(a.stdout)
}

// gatewayTable shows who shares the queue.
func gatewayTable(s *api.Status) *terminal.Table {
	t := &terminal.Table{Head: []string{"GATEWAY", "VERSION", "RUNNING FOR", "LAST SEEN", "DELIVERS TO"}}
	for _, g := range s.Gateways {
		name, seen := g.Name, terminal.Ago(g.Seen)+" ago"
		if name == s.Gateway {
			name += " (this one)"
		}
		t.Row(name, terminal.Plain(g.Version), terminal.Ago(g.Since), seen, terminal.OrDash(strings.Join(g.Lanes, ", ")))
		if !g.Alive {
			t.Note("gives no sign of life: the others deliver what it had claimed")
		}
		if g.Note != "" {
			t.Note(terminal.Plain(g.Note))
		}
	}
	return t
}

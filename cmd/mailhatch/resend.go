package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/queue"
)

// queueResend has a message accepted a second time: one of the queue, or of the history while keep_bodies keeps it.
func queueResend(ctx context.Context, a *app, args []string) error {
	fs := a.flags("queue resend")
	var ask api.Resend
	fs.Var((*command.List)(&ask.To), "to", "`address` of a recipient; may be repeated (default: all recipients of the message)")
	fs.StringVar(&ask.Via, "via", "", "send by this `upstream`, whatever the routes say")
	asJSON := fs.Bool("json", false, "one JSON object")
	ids, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return command.Usagef("queue resend: name one message")
	}
	client, _, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	again, err := client.Resend(ctx, ids[0], ask)
	if errors.Is(err, queue.ErrNotFound) {
		return command.Hintf(fmt.Errorf("message %s cannot be sent again: %w", terminal.Plain(ids[0]), err),
			"what was sent can be sent again for as long as keep_bodies of [queue] keeps it; mailhatch log --id %s shows what became of it", terminal.Plain(ids[0]))
	}
	if err != nil {
		return err
	}
	if *asJSON {
		return a.printJSON(again)
	}
	fmt.Fprintf(a.stdout, "accepted again as %s, to %s\n", again.ID, terminal.Plain(strings.Join(again.To, ", ")))
	return nil
}

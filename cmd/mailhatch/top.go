package main

import (
	"context"
	"os"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/cmd/mailhatch/top"
)

const fastest = 100 * time.Millisecond

// runTop shows the overview live on a terminal, and once anywhere else.
func runTop(ctx context.Context, a *app, args []string) error {
	fs := a.flags("top")
	every := fs.Duration("every", 2*time.Second, "`time` between two updates")
	if err := command.ParseAlone(fs, args); err != nil {
		return err
	}
	if *every < fastest {
		return command.Usagef("--every %s: write a time of at least %s", *every, fastest)
	}
	client, _, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	tty, ok := terminal.Raw(a.stdout).(*os.File)
	if !ok || !terminal.Interactive(tty) {
		return top.Snapshot(ctx, client, a.stdout)
	}
	keys, _ := a.stdin.(*os.File) // anything else has no keys
	return top.Live(ctx, client, tty, keys, *every)
}

package main

import (
	"context"
	"os"

	"mailhatch/cmd/mailhatch/setup"
)

// runInit writes a first config.
func runInit(ctx context.Context, a *app, args []string) error {
	_, noSystemd := os.Stat("/run/systemd/system") // sd_booted(3)
	return setup.Run(ctx, a.flags("init"), args, &setup.Env{Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr,
		Kinds: a.upstreamKinds(), Options: a.loadOptions(), Service: noSystemd == nil})
}

package main

import (
	"context"

	"mailhatch/cmd/mailhatch/setup"
)

// runInit writes a first config.
func runInit(_ context.Context, a *app, args []string) error {
	return setup.Run(a.flags("init"), args, &setup.Env{Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr,
		Kinds: a.upstreamKinds(), Options: a.loadOptions()})
}

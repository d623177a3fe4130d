package main

import (
	"context"
	"fmt"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/sendmail"
	"mailhatch/gateway/admin/api"
)

// runSendmail stands for sendmail(8), which has flags and exit codes of its own.
func runSendmail(ctx context.Context, a *app, args []string) error {
	code, err := sendmail.Run(ctx, args, &sendmail.Env{
		Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr, Config: a.configPath,
		View: func(ctx context.Context, stateDir, runDir string) (api.View, func(), error) {
			of := &app{stdin: a.stdin, stdout: a.stdout, stderr: a.stderr, stateDir: stateDir, runDir: runDir}
			return of.view(ctx)
		},
		ShowTried: func(c *api.Changed) {
			fmt.Fprintln(a.stdout, triedLine(c))
			printTried(a.stdout, c)
		},
	})
	if code != 0 {
		return command.ExitCode(code)
	}
	return err
}

package main

import (
	"context"
	"fmt"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/manual"
)

// runCompletion prints what makes a shell complete command lines of mailhatch.
func runCompletion(_ context.Context, a *app, args []string) error {
	rest, err := command.Parse(a.flags("completion"), args)
	if err != nil {
		return err
	}
	if len(rest) == 1 {
		if script, ok := manual.Completion(rest[0], help()); ok {
			fmt.Fprint(a.stdout, script)
			return nil
		}
	}
	return command.Usagef("completion: name one of bash, zsh and fish")
}

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
)

// alertCommands are the words after mailhatch alert.
func alertCommands() []subcommand {
	return []subcommand{{"test", "[NAME]", "send a test to each receiver of alerts, or to one, and show the answers", alertTest}}
}

func alertTest(ctx context.Context, a *app, args []string) error {
	fs := a.flags("alert test")
	asJSON := fs.Bool("json", false, "one line of JSON for each receiver")
	names, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(names) > 1 {
		return command.Usagef("alert test: name one alert, or none for all")
	}
	client, _, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	tests, err := client.TestAlerts(ctx, strings.Join(names, ""))
	if err != nil {
		return command.Hintf(err, "doc/alerts.md shows how [[alert]] is written; mailhatch reload makes the gateway follow the config")
	}
	failed := false
	for _, t := range tests {
		failed = failed || t.Error != ""
		if !*asJSON {
			fmt.Fprintf(a.stdout, "%s (%s): %s, in %s\n", terminal.Plain(t.Name), terminal.Plain(t.Receiver), terminal.Plain(t.Answer+t.Error), time.Duration(t.Millis)*time.Millisecond)
		}
	}
	if *asJSON {
		if err := printLines(a, tests); err != nil {
			return err
		}
	}
	if failed {
		return command.ExitCode(1)
	}
	return nil
}

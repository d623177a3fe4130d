package main

import (
	"context"
	"fmt"
	"path/filepath"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/machine/unit"
	"mailhatch/gateway/config"
	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

// eventsCommands are the words after mailhatch events.
func eventsCommands() []subcommand {
	return []subcommand{
		{"setup", "UPSTREAM [--url URL]", "register the webhook at the provider, and keep its signing secret", eventsSetup},
	}
}

// eventsSetup asks the provider itself; the gateway need not run, and where it does it needs no reload.
func eventsSetup(ctx context.Context, a *app, args []string) error {
	fs := a.flags("events setup")
	address := fs.String("url", "", "`URL` at which the provider reaches POST /events/UPSTREAM (default: url of [upstream.NAME.events])")
	rest, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return command.Usagef("events setup takes the name of one upstream")
	}
	if err := events.CheckURL("--url", *address); err != nil {
		return command.Usagef("%v", err)
	}
	returned, err := unit.Load(ctx, config.Find(a.configPath)).Lend()
	if err != nil {
		return err
	}
	defer returned()
	cfg, err := a.loadWhole()
	if err != nil {
		return err
	}
	defer cfg.Close() //nolint:errcheck // nothing was sent
	u := cfg.Upstream(rest[0])
	if u == nil {
		return fmt.Errorf("there is no upstream %q", rest[0])
	}
	hooker, ok := u.Upstream.(upstream.Hooker)
	if !ok {
		return fmt.Errorf("the webhooks of upstreams of type %s cannot be set up from here: doc/feedback.md says what to do", u.Kind.Name)
	}
	listening := u.Upstream.(upstream.Feedback).Listening()
	if *address == "" {
		*address = listening.URL
	}
	if *address == "" {
		return command.Usagef("events setup needs --url, or url of [upstream.%s.events]", u.Name)
	}
	secret, err := hooker.SetHook(ctx, *address)
	if err != nil {
		return err
	}
	if !secret.IsZero() {
		if err := events.KeepSecret(upstream.Env{Name: u.Name, TokenDir: filepath.Join(cfg.StateDir, "tokens")}, secret); err != nil {
			return fmt.Errorf("the provider has the address, but its secret could not be kept: %w", err)
		}
	}
	fmt.Fprintf(a.stdout, "%s: the provider sends its events to %s\n", u.Name, upstream.RedactURL(*address))
	if !listening.Webhook {
		fmt.Fprintf(a.stdout, "set mode = \"webhook\" or \"both\" in [upstream.%s.events], so that they are taken\n", u.Name)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/machine/unit"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/sock"
	"mailhatch/gateway/config"
)

// runReload makes the running gateway reload its config, and prints the result.
func runReload(ctx context.Context, a *app, args []string) error {
	if err := command.ParseAlone(a.flags("reload"), args); err != nil {
		return err
	}
	// The config itself may be broken just now: its directories are enough to find the gateway.
	file := config.Find(a.configPath)
	stateDir, runDir, err := config.Dirs(file)
	if err != nil {
		return err
	}
	client := api.NewClient(sock.Find(ctx, stateDir, runDir))
	defer client.Close()
	r, err := client.Reload(ctx)
	if errors.Is(err, api.ErrNotRunning) {
		return command.Hintf(err, "start it with mailhatch serve, or name its config with -c; one that runs with another state_dir than "+
			"the config names now needs a restart")
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "config reloaded")
	for _, note := range r.Notes {
		fmt.Fprintln(a.stdout, terminal.Plain(note))
	}
	for _, note := range unit.Load(ctx, file).ChangedCredentials() {
		fmt.Fprintln(a.stdout, terminal.Plain(note))
	}
	return nil
}

package main

import (
	"context"
	"fmt"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/config"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
)

// storeOf returns where the queue of the config is kept; stateDir is its directory.
func (a *app) storeOf(stateDir string) (engine string, s queue.Settings, err error) {
	s.Dir = stateDir
	if a.stateDir != "" { // another gateway's than the config's
		return engines.Default, s, nil
	}
	engine, url, err := config.Store(config.Find(a.configPath))
	s.URL = url.Reveal()
	return engine, s, err
}

// runMigrate brings the schema of the queue's database up to date.
func runMigrate(ctx context.Context, a *app, args []string) error {
	if err := command.ParseAlone(a.flags("migrate"), args); err != nil {
		return err
	}
	engine, s, err := a.storeOf("")
	if err != nil {
		return err
	}
	if !engines.Shared(engine) {
		fmt.Fprintln(a.stdout, "there is nothing to do: a queue in a state directory is brought up to date when it is opened")
		return nil
	}
	before, now, err := engines.Migrate(ctx, engine, s)
	switch {
	case err != nil:
		return err
	case before == now:
		fmt.Fprintf(a.stdout, "the database has schema %d, as this version needs it\n", now)
	default:
		fmt.Fprintf(a.stdout, "the database has schema %d now; it was %d\n", now, before)
	}
	return nil
}

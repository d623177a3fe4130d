package main

import (
	"context"
	"errors"
	"fmt"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/machine/unit"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

// runLogin lets a person log in to an upstream by a browser anywhere, through the running gateway where there is one.
func runLogin(ctx context.Context, a *app, args []string) error {
	rest, err := command.Parse(a.flags("login"), args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return command.Usagef("login takes the name of one upstream")
	}
	client, _, err := a.client(ctx)
	switch {
	case err == nil:
		defer client.Close()
		err = client.Login(ctx, rest[0], a.showCode)
	case errors.Is(err, api.ErrNotRunning):
		err = a.loginAlone(ctx, rest[0])
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("given up: nobody has logged in to %s", rest[0])
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "logged in: mail goes by", rest[0])
	return nil
}

// showCode tells the person what to do; they may have to read it from a log.
func (a *app) showCode(c upstream.LoginCode) {
	fmt.Fprintf(a.stdout, "open %s and type the code %s\n", terminal.Plain(c.URL), terminal.Plain(c.Code))
	if !c.Expiry.IsZero() {
		fmt.Fprintf(a.stdout, "it is good until %s; this waits\n", terminal.Clock(c.Expiry))
	}
}

// loginAlone logs in and stores the token for the gateway that is not running.
func (a *app) loginAlone(ctx context.Context, name string) error {
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
	u, err := cfg.Loginer(name)
	if err != nil {
		return err
	}
	end, err := gateway.ShareTokens(ctx, cfg)
	if err != nil {
		return err
	}
	defer end() //nolint:errcheck // what it has is free by itself
	return u.Login(ctx, a.showCode)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailhatch/gateway"
	"mailhatch/upstream"
)

// load reads the config that the command line and the environment name.
func (a *app) load() (*gateway.Config, error) {
	return gateway.Load(gateway.FindConfig(a.configPath), a.loadOptions())
}

func (a *app) loadOptions() gateway.LoadOptions {
	return gateway.LoadOptions{Kinds: upstream.Kinds(), Version: versionString(), Stdout: a.stdout}
}

// config is load for commands that need no upstreams.
func (a *app) config() (*gateway.Config, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	return cfg, cfg.Close()
}

const onlineTimeout = 20 * time.Second

// runCheck reads the config as serve would, and tries the upstreams when asked to.
func runCheck(ctx context.Context, a *app, args []string) error {
	fs := a.flags("check")
	online := fs.Bool("online", false, "try host, TLS and credentials of each upstream; no mail is sent")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usagef("check takes no arguments, but there is %q", rest[0])
	}
	cfg, err := a.load()
	if err != nil {
		return err
	}
	defer cfg.Close() //nolint:errcheck // nothing was sent
	for _, w := range cfg.Warnings {
		fmt.Fprintln(a.stderr, "mailhatch: warning: "+w)
	}
	name := cfg.File
	if name == "" {
		name = "the built-in config"
	}
	fmt.Fprintf(a.stdout, "%s is good: %d listeners, %d upstreams, %d routes\n", name, len(cfg.Listeners), len(cfg.Upstreams), cfg.Routes.Len())
	if !*online {
		return nil
	}
	failed := false
	for i := range cfg.Upstreams {
		failed = !a.checkOnline(ctx, &cfg.Upstreams[i]) || failed
	}
	if failed {
		return errors.New("not every upstream works")
	}
	return nil
}

func (a *app) checkOnline(ctx context.Context, u *gateway.UpstreamConfig) bool {
	c, ok := u.Upstream.(upstream.Checker)
	if !ok {
		fmt.Fprintf(a.stdout, "upstream %s (%s): nothing to try\n", u.Name, u.Kind)
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, onlineTimeout)
	defer cancel()
	start := time.Now()
	if err := c.Check(ctx); err != nil {
		fmt.Fprintf(a.stdout, "upstream %s (%s): FAILED: %v\n", u.Name, u.Kind, err)
		return false
	}
	fmt.Fprintf(a.stdout, "upstream %s (%s): works (%d ms)\n", u.Name, u.Kind, time.Since(start).Milliseconds())
	return true
}

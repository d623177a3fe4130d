package main

import (
	"cmp"
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

// checkResult is what `check --json` prints.
type checkResult struct {
	File      string                  `json:"file"` // "" for the built-in config
	OK        bool                    `json:"ok"`
	Problems  []gateway.ConfigProblem `json:"problems,omitempty"`
	Warnings  []string                `json:"warnings,omitempty"`
	Listeners int                     `json:"listeners"`
	Routes    int                     `json:"routes"`
	Upstreams []checkedUpstream       `json:"upstreams"`
}

type checkedUpstream struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Tried  bool   `json:"tried"` // with --online, where the kind has something to try
	Error  string `json:"error,omitempty"`
	Millis int64  `json:"ms,omitempty"`
}

var errUpstreams = errors.New("not every upstream works")

// runCheck reads the config as serve would, and tries the upstreams when asked to.
func runCheck(ctx context.Context, a *app, args []string) error {
	fs := a.flags("check")
	online := fs.Bool("online", false, "try host, TLS and credentials of each upstream; no mail is sent")
	asJSON := fs.Bool("json", false, "one JSON object")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usagef("check takes no arguments, but there is %q", rest[0])
	}
	cfg, err := a.load()
	var bad *gateway.ConfigError
	if *asJSON && errors.As(err, &bad) {
		return errors.Join(a.printJSON(checkResult{File: bad.File, Problems: bad.Problems}), silentError{1})
	}
	if err != nil {
		return err
	}
	defer cfg.Close() //nolint:errcheck // nothing was sent
	r := checkResult{File: cfg.File, OK: true, Warnings: cfg.Warnings, Listeners: len(cfg.Listeners), Routes: cfg.Routes.Len()}
	for i := range cfg.Upstreams {
		u := checkUpstream(ctx, &cfg.Upstreams[i], *online)
		r.OK = r.OK && u.Error == ""
		r.Upstreams = append(r.Upstreams, u)
	}
	switch {
	case *asJSON && !r.OK:
		return errors.Join(a.printJSON(r), silentError{1})
	case *asJSON:
		return a.printJSON(r)
	}
	a.printCheck(&r, *online)
	if !r.OK {
		return errUpstreams
	}
	return nil
}

func (a *app) printCheck(r *checkResult, online bool) {
	for _, w := range r.Warnings {
		fmt.Fprintln(a.stderr, "mailhatch: warning: "+w)
	}
	fmt.Fprintf(a.stdout, "%s is good: %s, %s, %s\n", cmp.Or(r.File, "the built-in config"),
		count(r.Listeners, "listener"), count(len(r.Upstreams), "upstream"), count(r.Routes, "route"))
	for _, u := range r.Upstreams {
		switch {
		case !online:
		case u.Error != "":
			fmt.Fprintf(a.stdout, "upstream %s (%s): FAILED: %s\n", u.Name, u.Kind, u.Error)
		case !u.Tried:
			fmt.Fprintf(a.stdout, "upstream %s (%s): nothing to try\n", u.Name, u.Kind)
		default:
			fmt.Fprintf(a.stdout, "upstream %s (%s): works (%d ms)\n", u.Name, u.Kind, u.Millis)
		}
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func checkUpstream(ctx context.Context, u *gateway.UpstreamConfig, online bool) checkedUpstream {
	r := checkedUpstream{Name: u.Name, Kind: u.Kind}
	c, ok := u.Upstream.(upstream.Checker)
	if !ok || !online {
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, onlineTimeout)
	defer cancel()
	start := time.Now()
	r.Tried = true
	if err := c.Check(ctx); err != nil {
		r.Error = err.Error()
	}
	r.Millis = time.Since(start).Milliseconds()
	return r
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

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

// checkResult is what `check --json` prints.
type checkResult struct {
	File      string                  `json:"file"` // "" for the built-in config
	OK        bool                    `json:"ok"`
	Problems  []gateway.ConfigProblem `json:"problems,omitempty"`
	Warnings  []string                `json:"warnings,omitempty"`
	Listeners int                     `json:"listeners"`
	Routes    int                     `json:"routes"`
	Upstreams []checkedUpstream       `json:"upstreams"`
	Machine   []upstream.Finding      `json:"machine,omitempty"` // with --online
}

type checkedUpstream struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Tried  bool   `json:"tried"` // with --online, where the kind has something to try
	Error  string `json:"error,omitempty"`
	Millis int64  `json:"ms,omitempty"`

	Findings []upstream.Finding `json:"findings,omitempty"` // where the kind can tell in parts
}

var errOnline = errors.New("not everything works")

// runCheck reads the config as serve would, and tries the upstreams when asked to.
func runCheck(ctx context.Context, a *app, args []string) error {
	fs := a.flags("check")
	online := fs.Bool("online", false, "try network, credentials and domains of each upstream, and look at this machine; no mail is sent")
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
	if *online {
		r.Machine = machineFindings(ctx, cfg)
		r.OK = r.OK && !failed(r.Machine)
	}
	switch {
	case *asJSON && !r.OK:
		return errors.Join(a.printJSON(r), silentError{1})
	case *asJSON:
		return a.printJSON(r)
	}
	a.printCheck(&r, *online)
	if !r.OK {
		return errOnline
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
		printFindings(a.stdout, u.Findings)
	}
	if online {
		fmt.Fprintln(a.stdout, "this machine:")
		printFindings(a.stdout, r.Machine)
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/accept"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver/offer"
	"mailhatch/upstream"
)

// runRender shows the exact requests that an upstream would make for a message, secrets redacted.
func runRender(_ context.Context, a *app, args []string) error {
	e, fs := a.envelopeFlags("render")
	name := fs.String("upstream", "", "the `upstream` that would send it")
	rest, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return command.Usagef("render takes one message file (- for standard input)")
	}
	cfg, err := a.load()
	if err != nil {
		return err
	}
	defer cfg.Close() //nolint:errcheck // nothing was sent
	u, err := findUpstream(cfg, *name)
	if err != nil {
		return err
	}
	a.warnLacking(*u)
	r, ok := u.Upstream.(upstream.Renderer)
	switch {
	case u.Upstream == nil:
		return fmt.Errorf("upstream %s cannot be rendered here: %s", u.Name, strings.Join(u.Lacking, "; "))
	case !ok:
		return fmt.Errorf("upstreams of type %s cannot show what they send", u.Kind.Name)
	}
	msg, err := a.readMessage(rest[0])
	if err != nil {
		return err
	}
	env, err := e.Envelope(cfg, msg)
	if err != nil {
		return misused(err)
	}
	if len(env.To) == 0 {
		return fmt.Errorf("%s: %s", e.Ended()[0].To, e.Ended()[0].Decision)
	}
	if msg, _, err = accept.Prepare(cfg, env, msg, "RENDERED"); err != nil {
		return err
	}
	from, edits := u.Departure("RENDERED", env, msg)
	if msg, err = msg.With(edits...); err != nil {
		return err
	}
	mail := offer.NewMail("RENDERED", env, from, env.To, msg)
	if p, ok := u.Upstream.(upstream.Preflighter); ok {
		if err := p.Preflight(mail); err != nil {
			return a.cannotCarry(u, err)
		}
	}
	return r.Render(mail, a.stdout)
}

// warnLacking tells what of upstreams is not known here.
func (a *app) warnLacking(list ...config.Upstream) {
	for i := range list {
		for _, key := range list[i].Lacking {
			fmt.Fprintf(a.stderr, "mailhatch: warning: upstream.%s.%s (the service may have it)\n", list[i].Name, key)
		}
	}
}

func (a *app) cannotCarry(u *config.Upstream, err error) error {
	var e *upstream.Error
	if errors.As(err, &e) && e.Class == upstream.Unrepresentable {
		return command.Hintf(fmt.Errorf("upstream %s cannot carry this message: %w", u.Name, err),
			"the next upstream in `via` would be tried; an upstream of type smtp or mailgun carries every message whole")
	}
	return fmt.Errorf("upstream %s would refuse this message: %w", u.Name, err)
}

// findUpstream returns the named upstream, or the only one.
func findUpstream(cfg *config.Config, name string) (*config.Upstream, error) {
	if name == "" && len(cfg.Upstreams) == 1 {
		return &cfg.Upstreams[0], nil
	}
	var names []string
	for i := range cfg.Upstreams {
		if cfg.Upstreams[i].Name == name {
			return &cfg.Upstreams[i], nil
		}
		names = append(names, cfg.Upstreams[i].Name)
	}
	if name == "" {
		return nil, command.Usagef("render needs --upstream, one of %s", strings.Join(names, ", "))
	}
	return nil, command.Usagef("no upstream %q; the upstreams are %s", name, strings.Join(names, ", "))
}

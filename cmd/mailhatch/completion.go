package main

import (
	"context"
	"fmt"
	"slices"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/manual"
	"mailhatch/gateway/admin/api"
	"mailhatch/upstream/smtp/preset"
)

// runCompletion prints what makes a shell complete command lines of mailhatch.
func runCompletion(ctx context.Context, a *app, args []string) error {
	rest, err := command.Parse(a.flags("completion"), args)
	if err != nil {
		return err
	}
	if len(rest) == 1 {
		switch rest[0] { // what the scripts ask for
		case "ids":
			return a.knownIDs(ctx)
		case "upstreams":
			return a.printUpstreams(ctx)
		case "types":
			for _, kind := range a.upstreamKinds() {
				fmt.Fprintln(a.stdout, kind.Name)
			}
			return nil
		case "presets":
			for _, p := range preset.All() {
				fmt.Fprintln(a.stdout, p.Name)
			}
			return nil
		}
		if script, ok := manual.Completion(rest[0], help()); ok {
			fmt.Fprint(a.stdout, script)
			return nil
		}
	}
	return command.Usagef("completion: name one of bash, zsh and fish")
}

// offeredIDs is how many ids a shell is offered.
const offeredIDs = 500

// knownIDs prints the ids of the queue, the oldest first.
func (a *app) knownIDs(ctx context.Context) error {
	v, done, err := a.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	p, err := v.List(ctx, api.Filter{Limit: offeredIDs})
	if err != nil {
		return err
	}
	for i := range p.Messages {
		fmt.Fprintln(a.stdout, p.Messages[i].ID)
	}
	return nil
}

// printUpstreams prints the names of upstreams.
func (a *app) printUpstreams(ctx context.Context) error {
	names, err := a.upstreamNames(ctx)
	for _, name := range names {
		fmt.Fprintln(a.stdout, name)
	}
	return err
}

// upstreamNames returns the upstreams of the running gateway or, if none runs, of the config.
func (a *app) upstreamNames(ctx context.Context) (names []string, err error) {
	client, _, err := a.client(ctx)
	if err == nil {
		defer client.Close()
		s, err := client.Status(ctx)
		if err != nil {
			return nil, err
		}
		for _, u := range s.Upstreams {
			if u.Name != "" {
				names = append(names, u.Name)
			}
		}
		return names, nil
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	for i := range cfg.Upstreams {
		names = append(names, cfg.Upstreams[i].Name)
	}
	return names, nil
}

// knownUpstream refuses a name that no upstream has: a slip must not look like an empty queue.
func (a *app) knownUpstream(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	names, err := a.upstreamNames(ctx)
	if err != nil || slices.Contains(names, name) { // without the names nothing can be said
		return nil
	}
	return &api.UnknownUpstreamError{Name: name, Known: names}
}

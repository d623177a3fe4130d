package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
)

// upstreamCommands are the words after mailhatch upstream.
func upstreamCommands() []subcommand {
	return []subcommand{
		{"list", "", "list the upstreams, as status does (the default)", upstreamList},
		{"pause", "NAME", "stop deliveries to an upstream until it is resumed, also across restarts", steerUpstream(api.Pause)},
		{"resume", "NAME", "end the pause of an upstream", steerUpstream(api.Resume)},
		{"probe", "NAME", "try a closed upstream, or senders that it refuses, now, and show the result", steerUpstream(api.Probe)},
	}
}

func upstreamList(ctx context.Context, a *app, args []string) error {
	fs := a.flags("upstream list")
	asJSON := fs.Bool("json", false, "one line of JSON for each upstream")
	if err := command.ParseAlone(fs, args); err != nil {
		return err
	}
	s, err := a.status(ctx)
	switch {
	case err != nil:
		return err
	case *asJSON:
		return printLines(a, s.Upstreams)
	case !s.Running:
		fmt.Fprintln(a.stdout, "the gateway is not running; how its upstreams are is not known")
		return nil
	}
	return upstreamTable(s.Upstreams).Write(a.stdout)
}

// probeWait is how long a probe is waited for.
const probeWait = 10 * time.Second

// steerUpstream returns the command for an action.
func steerUpstream(action api.UpstreamAction) func(ctx context.Context, a *app, args []string) error {
	return func(ctx context.Context, a *app, args []string) error {
		fs := a.flags("upstream " + string(action))
		asJSON := fs.Bool("json", false, "one JSON object")
		names, err := command.Parse(fs, args)
		if err != nil {
			return err
		}
		if len(names) != 1 {
			return command.Usagef("upstream %s: name one upstream", action)
		}
		client, _, err := a.client(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		began := time.Now()
		u, err := client.ActOn(ctx, names[0], action)
		if err == nil && action == api.Probe {
			u, err = awaitProbe(ctx, client, u, began)
		}
		switch {
		case err != nil:
			return err
		case *asJSON:
			return a.printJSON(u)
		}
		fmt.Fprintln(a.stdout, terminal.Plain(steered(u)))
		return nil
	}
}

// awaitProbe waits until a closed upstream has been tried, or with the mail that waits what an open one refuses.
func awaitProbe(ctx context.Context, c *api.Client, u *api.Upstream, began time.Time) (*api.Upstream, error) {
	for time.Since(began) < probeWait && !wasTried(u, began) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		s, err := c.Status(ctx)
		if err != nil {
			return nil, err
		}
		for i := range s.Upstreams {
			if s.Upstreams[i].Name == u.Name {
				u = &s.Upstreams[i]
			}
		}
	}
	return u, nil
}

// wasTried reports whether it is known what a probe that began then has shown.
func wasTried(u *api.Upstream, began time.Time) bool {
	if u.State != "open" {
		return u.FailedAt.After(began)
	}
	return u.Queued == 0 || !slices.ContainsFunc(u.Refuses, func(r api.Refused) bool { return !r.Tried.After(began) })
}

// steered says how an upstream is now.
func steered(u *api.Upstream) string {
	waiting := ""
	if u.Queued > 0 {
		waiting = "; " + terminal.Count(u.Queued, "part") + " of mail wait for it"
		if u.Queued == 1 {
			waiting = "; 1 part of mail waits for it"
		}
	}
	switch {
	case u.State == "":
		return u.Name + " is not paused, and no upstream of the config"
	case u.State == "open" && len(u.Refuses) > 0:
		return u.Name + " is open but " + u.Why + waiting
	case u.State == "open":
		return u.Name + " is open" + waiting
	case u.PausedBy != "":
		return u.Name + " is " + u.Why + waiting
	}
	return u.Name + ": " + u.Why + waiting
}

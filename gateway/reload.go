package gateway

import (
	"context"

	"mailhatch/gateway/alert"
	"mailhatch/gateway/config"
	"mailhatch/gateway/queue"
)

// reloaded is what came of a reload.
type reloaded struct {
	notes []string // what the operator should know: what waits for a restart, or for its address
	err   error
}

// Reload reads the config file again and follows it. When it is not good, or an address that it adds
// cannot be bound, the old one stays in all its parts and the error is the reason.
func (g *Gateway) Reload(ctx context.Context) error {
	_, err := g.reloadNotes(ctx)
	return err
}

// reloadNotes is Reload that also returns what of the new config is not followed yet.
func (g *Gateway) reloadNotes(ctx context.Context) (notes []string, err error) {
	done := make(chan reloaded, 1)
	select {
	case g.reloads <- done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case r := <-done:
		return r.notes, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *Gateway) reloadLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.opts.Reload:
			g.reload() // the journal has it
		case done := <-g.reloads:
			done <- g.reload()
		}
	}
}

func (g *Gateway) reload() reloaded {
	g.notified(g.notifier.Reloading())
	defer func() { g.notified(g.notifier.Ready()) }()
	r := g.tryReload()
	g.journal.Reloaded(r.err)
	for _, w := range r.notes {
		g.opts.Log.Warn(w)
	}
	return r
}

// tryReload binds what is new before it lets go of anything.
func (g *Gateway) tryReload() reloaded {
	cfg, err := config.Load(g.file, config.Options{Kinds: g.opts.Kinds, Version: g.opts.Version, Stdout: g.opts.Stdout, Listen: g.opts.Listen})
	if err != nil {
		return reloaded{err: err}
	}
	was := g.current.Load()
	g.vault = shareTokens(cfg, g.queue.Fleet(), g.vault)
	notes := needRestart(was, cfg)
	cfg.StateDir, cfg.RunDir, cfg.Log = was.StateDir, was.RunDir, was.Log
	change, err := g.endpoints.Prepare(g.listeners(cfg))
	if err != nil {
		_ = cfg.Close() // its upstreams are not used
		return reloaded{err: err}
	}
	notes = append(notes, change.Waiting()...)
	g.current.Store(cfg)
	if err := change.Apply(); err != nil {
		return reloaded{err: err} // it ends: the old config's upstreams end with it
	}
	g.smtp.InFlight.Resize(int64(cfg.MaxInFlight))
	g.queue.SetReserve(int64(cfg.Queue.MinFree))
	if err := g.queue.SetPrivacy(queue.Privacy(cfg.Queue.Privacy)); err != nil {
		g.journal.InternalError("queue", err)
	}
	g.queue.SuppressOn(cfg.Suppression.ForQueue())
	g.queue.Forward(alert.Forwarded(cfg.Alerts))
	select {
	case g.keeping <- struct{}{}:
	default:
	}
	g.deliverer.Reload(g.delivery(cfg))
	g.feedback.Follow(g.listening(cfg))
	g.canaries.Follow(canariesOf(cfg))
	g.alerts.Follow(cfg.Alerts, cfg.Hostname)
	for _, w := range cfg.Warnings {
		g.opts.Log.Warn(w)
	}
	return reloaded{notes: notes}
}

// needRestart names what a reload changed in the file but cannot change in the running program, which
// goes on with what it had at its start.
func needRestart(old, now *config.Config) []string {
	var list []string
	note := func(changed bool, what string) {
		if changed {
			list = append(list, what+" changed in "+now.File+", which needs a restart")
		}
	}
	note(old.StateDir != now.StateDir, "state_dir")
	note(old.RunDir != now.RunDir, "run_dir")
	note(old.Queue.Engine != now.Queue.Engine || old.Queue.URL != now.Queue.URL || old.Queue.Lease != now.Queue.Lease || old.Queue.FallbackSpool != now.Queue.FallbackSpool, "engine, url, lease or fallback_spool of [queue]")
	note(old.Log != now.Log, "[log]")
	return list
}

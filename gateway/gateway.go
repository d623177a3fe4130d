package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/gateway/smtpd"
	"mailhatch/upstream"
)

// Options is what the program lends to a Gateway.
type Options struct {
	Version string
	Kinds   []upstream.Kind // kinds.Kinds() and what a program of its own adds
	Stdout  io.Writer       // where the console upstream writes
	Log     *slog.Logger
	Reload  <-chan os.Signal // each signal reloads the config; may be nil
	Queue   queue.Engine     // in place of the one in state_dir; nil: that one. The Gateway closes it
}

// Gateway takes mail in and sees to its delivery. Make one with New, run it with Run.
type Gateway struct {
	opts      Options
	file      string // the config to reload; "" for the defaults
	queue     queue.Engine
	journal   *journal.Journal
	metrics   *prometheus.Registry
	deliverer *deliver.Deliverer
	current   atomic.Pointer[config.Config]
	started   time.Time
	ready     atomic.Bool
	addrs     atomic.Pointer[[]net.Addr]
	lobby     *lobby
	admin     *adminRoom
	reloads   chan chan reloaded
	notifier  notifier
	inFlight  *smtpd.Budget // of all sessions
}

// New opens the queue of a loaded config, unless opts brings one. Close is called by Run; without Run the caller must call it.
func New(ctx context.Context, cfg *config.Config, opts Options) (*Gateway, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	q := opts.Queue
	if q == nil {
		var err error
		if q, err = engines.Open(ctx, engines.Default, queue.Settings{Dir: cfg.StateDir, ReserveBytes: int64(cfg.Queue.MinFree), Logger: opts.Log}); err != nil {
			return nil, err
		}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	g := &Gateway{opts: opts, file: cfg.File, queue: q, metrics: reg, journal: journal.New(opts.Log, reg),
		started: time.Now(), reloads: make(chan chan reloaded), notifier: newNotifier(), inFlight: smtpd.NewBudget(int64(cfg.MaxInFlight))}
	g.current.Store(cfg)
	g.lobby, g.admin = &lobby{g: g}, newAdminRoom(g, cfg)
	g.deliverer = deliver.New(q, g.journal, g.submitBounce, g.delivery(cfg))
	return g, nil
}

// Close gives the queue back.
func (g *Gateway) Close() error { return g.queue.Close() }

// Run serves until ctx ends, then lets sessions and deliveries finish within shutdown_timeout.
// started is called once all listeners accept connections.
func (g *Gateway) Run(ctx context.Context, started func()) error {
	defer g.Close() //nolint:errcheck // the store has no more to write once its users have ended
	cfg := g.current.Load()
	first, err := g.lobby.prepare(cfg)
	if err != nil {
		return err
	}
	if err := g.admin.open(cfg); err != nil {
		first.undo()
		return err
	}
	// The store ends after all who use it, and they end when it fails.
	group, ctx := errgroup.WithContext(ctx)
	store, stop := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return g.queue.Run(store) })
	group.Go(func() error {
		defer stop()
		return g.serve(ctx, first, started)
	})
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	g.opts.Log.Info("stopped")
	return err
}

// serve runs all rooms. They end together: what sessions accept last is kept and offered after the next start.
func (g *Gateway) serve(ctx context.Context, first *move, started func()) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.lobby.serve(ctx, first, started) })
	group.Go(func() error { return g.keepAlive(ctx) })
	group.Go(func() error { return g.deliverer.Run(ctx) })
	group.Go(func() error { return g.pickUp(ctx) })
	group.Go(func() error { return g.admin.serve(ctx) })
	group.Go(func() error { return g.prune(ctx) })
	group.Go(func() error { return g.reloadLoop(ctx) })
	return group.Wait()
}

// Addrs gives the addresses of the listeners once Run has opened them, in the order of the config.
func (g *Gateway) Addrs() []net.Addr {
	if a := g.addrs.Load(); a != nil {
		return *a
	}
	return nil
}

const pruneEvery = 10 * time.Minute

// prune removes history and failed mail that is older than the config keeps it.
func (g *Gateway) prune(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		now, q := time.Now(), g.current.Load().Queue
		if err := g.queue.Prune(ctx, now.Add(-q.KeepSent.Duration), now.Add(-q.KeepFailed.Duration)); err != nil && ctx.Err() == nil {
			g.journal.InternalError("queue", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

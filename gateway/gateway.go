package gateway

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"mailhatch/gateway/accept"
	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/figures"
	"mailhatch/gateway/admin/mailq"
	"mailhatch/gateway/admin/page"
	"mailhatch/gateway/alert"
	"mailhatch/gateway/backoff"
	"mailhatch/gateway/budget"
	"mailhatch/gateway/canary"
	"mailhatch/gateway/clock"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/feedback"
	"mailhatch/gateway/fleet"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/listen"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/refused"
	"mailhatch/gateway/smtpd"
	"mailhatch/gateway/smtpd/limit"
	"mailhatch/gateway/systemd"
	"mailhatch/upstream"
)

// Options is what the program lends to a Gateway.
type Options struct {
	Version string
	Kinds   []upstream.Kind // kinds.Kinds() and what a program of its own adds
	Stdout  io.Writer       // where the console upstream writes
	Listen  string          // see config.Options
	Log     *slog.Logger
	Reload  <-chan os.Signal // each signal reloads the config; may be nil
	Wall    func() time.Time // the machine's time of day; nil: time.Now
	Queue   queue.Engine     // in place of the one in state_dir; nil: that one. The Gateway closes it
	Metrics []meter.Metric   // of the program, shown beside those of the gateway
}

// Gateway takes mail in and sees to its delivery. Make one with New, run it with Run.
type Gateway struct {
	opts      Options
	file      string // the config to reload; "" for the defaults
	queue     queue.Engine
	journal   *journal.Journal
	metrics   *meter.Registry
	deliverer *deliver.Deliverer
	fleet     *fleet.Fleet // the gateways on the queue; nil: this one is alone
	vault     *fleet.Vault // tokens that they share; nil likewise
	refused   *refused.Keeper
	current   atomic.Pointer[config.Config]
	clock     *clock.Clock
	started   time.Time
	ready     atomic.Bool
	health    listenerHealth
	accept    *accept.Acceptor
	access    *access.Control
	alerts    *alert.Watcher
	feedback  *feedback.Follower
	canaries  *canary.Keeper
	recent    journal.Recent
	page      *page.Page
	figures   *figures.Figures
	admin     *admin.Server
	mailq     *mailq.Server
	backups   sync.Mutex // one backup at a time
	smtp      *listen.SMTP
	endpoints *listen.Set
	reloads   chan chan reloaded
	keeping   chan struct{} // one token: the config may say anew what the queue keeps
	notifier  systemd.Notifier
}

// New opens the queue of a loaded config, unless opts brings one. Close is called by Run; without Run the caller must call it.
func New(ctx context.Context, cfg *config.Config, opts Options) (*Gateway, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	clk := clock.New(opts.Wall, opts.Log)
	q := opts.Queue
	settings, err := storeSettings(cfg, q, clk, opts.Log)
	if err != nil {
		return nil, err
	}
	var g *Gateway
	if q == nil {
		if q, err = openQueue(ctx, cfg, settings, func() bool { return g.storeAway() != nil }); err != nil {
			return nil, err
		}
	}
	if err := q.SetPrivacy(queue.Privacy(cfg.Queue.Privacy)); err != nil {
		return nil, errors.Join(err, q.Close())
	}
	q.SuppressOn(cfg.Suppression.ForQueue())
	q.Forward(alert.Forwarded(cfg.Alerts))
	reg := meter.NewRegistry(meter.Process{})
	reg.Add(opts.Metrics...)
	g = &Gateway{opts: opts, file: cfg.File, queue: q, metrics: reg, journal: journal.New(opts.Log, reg),
		clock: clk, started: time.Now(), reloads: make(chan chan reloaded), keeping: make(chan struct{}, 1), notifier: systemd.NewNotifier()}
	g.current.Store(cfg)
	memory := budget.NewMemory(budget.Size(os.DirFS("/")))
	if health, err := q.Health(ctx); err == nil && health.Unclean {
		memory.BeCareful(carefulTime)
	}
	g.accept = &accept.Acceptor{Queue: q, Journal: g.journal, Config: g.current.Load, Memory: memory, Clock: clk, Gateway: settings.Gateway, Suppressed: q.Suppressed}
	g.refused = refused.New(q, clk.Now, func(err error) { g.journal.InternalError("history", err) })
	g.fleet = g.newFleet(settings)
	g.vault = shareTokens(cfg, q.Fleet(), g.vault)
	g.deliverer = deliver.New(q, g.journal, g.accept.Bounce, memory, g.delivery(cfg))
	g.accept.Deliverer = g.deliverer
	g.access = g.accessControl()
	g.feedback = g.follower(cfg)
	g.canaries = g.canaryKeeper(cfg)
	g.alerts = g.alertWatcher()
	g.journal.Listen(g.recent.Hear)
	g.page = g.newPage()
	g.admin, g.mailq = g.adminServer(), g.mailqServer()
	g.smtp = &listen.SMTP{Current: g.current.Load, Handler: g.accept.Handler, InFlight: limit.NewBudget(int64(cfg.MaxInFlight)),
		Guard: backoff.New(time.Second, nil), Journal: g.journal, Refused: g.noteRefused, Log: opts.Log}
	g.endpoints = listen.New(opts.Log, g.journal.InternalError)
	return g, nil
}

// carefulTime is how long large messages go one at a time after a crash, to get behind the one that may have been its cause.
const carefulTime = time.Minute

// Close closes the queue.
func (g *Gateway) Close() error { return g.queue.Close() }

// Run serves until ctx ends, then lets sessions and deliveries finish within shutdown_timeout.
// started is called once all listeners accept connections.
func (g *Gateway) Run(ctx context.Context, started func()) error {
	defer g.Close() //nolint:errcheck // the store has no more to write once its users have ended
	if err := g.endpoints.Open(g.listeners(g.current.Load())); err != nil {
		return err
	}
	// The store ends after all who use it, and they end when it fails.
	group, ctx := errgroup.WithContext(ctx)
	store, stop := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return g.queue.Run(store) })
	group.Go(func() error { return g.runFleet(store) })
	group.Go(func() error {
		defer stop()
		return g.serve(ctx, started)
	})
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	g.opts.Log.Info("stopped")
	return err
}

// serve runs all rooms. They end together: what sessions accept last is kept and offered after the next start.
func (g *Gateway) serve(ctx context.Context, started func()) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.answer(ctx, started) })
	group.Go(func() error { return g.keepAlive(ctx) })
	group.Go(func() error { return g.tellStatus(ctx, g.notifier, statusEvery) })
	group.Go(func() error { return g.deliverer.Run(ctx) })
	group.Go(func() error { g.tryRefused(ctx); return nil })
	group.Go(func() error { return g.pickUp(ctx) })
	group.Go(func() error { return g.refused.Run(ctx) })
	group.Go(func() error { return g.prune(ctx) })
	group.Go(func() error { return g.watchExpiries(ctx) })
	group.Go(func() error { return g.alerts.Run(ctx) })
	group.Go(func() error { return g.feedback.Run(ctx) })
	group.Go(func() error { return g.canaries.Run(ctx) })
	group.Go(func() error { return g.reloadLoop(ctx) })
	group.Go(func() error { return g.page.Run(ctx) })
	group.Go(func() error { return g.figures.Run(ctx, g.figuresLost) })
	defer g.keepFigures()
	return group.Wait()
}

// noteRefused puts mail that a session refused into the history.
func (g *Gateway) noteRefused(e smtpd.Event) {
	m := refused.Mail{From: e.From, To: e.To, Client: e.Addr, User: e.User, Listener: e.Listener, Reply: e.Reply}
	if r, ok := errors.AsType[*accept.Refusal](e.Err); ok {
		if r.OnRecord {
			return
		}
		m.Header = r.Header
	}
	g.refused.Note(m)
}

// listeners are the addresses that a config answers on: the admin server, SMTP, and local submission. Who finds an
// address of mail finds the sockets of commands too: they are bound first.
func (g *Gateway) listeners(cfg *config.Config) []listen.Endpoint {
	return append(append(g.adminEndpoints(cfg), g.mailqEndpoint(cfg)), append(g.eventEndpoints(cfg), g.smtp.Endpoints(cfg)...)...)
}

// answer serves the clients of all addresses.
func (g *Gateway) answer(ctx context.Context, started func()) error {
	defer g.ready.Store(false)
	return g.endpoints.Run(ctx, func() {
		g.ready.Store(true)
		g.tellStarted()
		if started != nil {
			started()
		}
		g.notified(g.notifier.Ready())
	})
}

// tellStarted writes what whoever reads the log from here on must know: what runs, by which config, where.
func (g *Gateway) tellStarted() {
	cfg := g.current.Load()
	var listeners []string
	for _, addr := range g.Addrs() {
		listeners = append(listeners, addr.String())
	}
	attrs := []any{"version", g.opts.Version, "config", cmp.Or(cfg.File, "built in"), "state_dir", cfg.StateDir, "listeners", listeners}
	page, err := g.pageURL()
	if err != nil {
		page = "off"
	}
	attrs = append(attrs, "admin", page)
	if waiting := g.endpoints.Waiting(); len(waiting) > 0 {
		attrs = append(attrs, slog.Any("waiting", waiting))
	}
	g.opts.Log.Info("started", attrs...)
}

// Addrs returns the addresses of the SMTP listeners once Run has opened them, in the order of the config.
func (g *Gateway) Addrs() []net.Addr { return g.endpoints.Addrs() }

const pruneEvery = 10 * time.Minute

// prune removes history and failed mail that is older than the config keeps it.
func (g *Gateway) prune(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		g.pruneOnce(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-g.keeping:
		}
	}
}

// keptBodies says which bodies of finished messages stay by a config.
func keptBodies(cfg *config.Config) queue.KeepBodies {
	return queue.KeepBodies{For: cfg.Queue.KeepBodies.Duration, Count: cfg.BodyCount}
}

func (g *Gateway) pruneOnce(ctx context.Context) {
	now, cfg := g.clock.Now(), g.current.Load()
	q := &cfg.Queue
	done, err := g.queue.Prune(ctx, queue.Keep{SentAfter: now.Add(-q.KeepSent.Duration), FailedAfter: now.Add(-q.KeepFailed.Duration),
		FailedBytes: int64(q.KeepFailedBytes), Bodies: keptBodies(cfg)})
	if err != nil && ctx.Err() == nil {
		g.journal.InternalError("queue", err)
	}
	g.journal.Pruned(done.Messages, done.Bytes, done.Aside)
}

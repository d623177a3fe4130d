package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mailhatch/gateway/clock"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/durable"
	"mailhatch/gateway/fleet"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/gateway/queue/spool"
	"mailhatch/upstream"
)

// storeSettings are those of the queue that a config names, or of one that was brought.
func storeSettings(cfg *config.Config, brought queue.Engine, clk *clock.Clock, log *slog.Logger) (s queue.Settings, err error) {
	s = queue.Settings{Dir: cfg.StateDir, ReserveBytes: int64(cfg.Queue.MinFree), Now: clk.Now, Logger: log, Lease: cfg.Queue.Lease.Duration, Bodies: keptBodies(cfg)}
	shared := engines.Shared(cfg.Queue.Engine)
	if brought != nil {
		shared = brought.Fleet() != nil
	}
	if shared {
		s.URL = cfg.Queue.URL.Reveal()
		s.Gateway, err = gatewayName(cfg.StateDir)
	}
	return s, err
}

// openQueue opens the queue of a config, with a spool beside a shared one where that is wanted.
func openQueue(ctx context.Context, cfg *config.Config, s queue.Settings, away func() bool) (queue.Engine, error) {
	s.Patient = true
	q, err := engines.Open(ctx, cfg.Queue.Engine, s)
	if err != nil || !cfg.Queue.FallbackSpool {
		return q, err
	}
	s.Dir, s.Bodies = filepath.Join(cfg.StateDir, spool.DirName), queue.KeepBodies{}
	local, err := engines.Open(ctx, engines.Default, s)
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return spool.New(q, local, away, s.Logger), nil
}

// instanceFile in the state directory tells the gateways of one machine apart.
const instanceFile = "instance"

// gatewayName is what the other gateways on a shared queue call this one: the machine's name and some letters that are made
// once and stay in the state directory. Two of the same name would not hear each other.
func gatewayName(stateDir string) (string, error) {
	host, _ := os.Hostname()
	host, _, _ = strings.Cut(cmp.Or(host, "gateway"), ".")
	path := filepath.Join(stateDir, instanceFile)
	text, err := os.ReadFile(path)
	if letters := strings.TrimSpace(string(text)); letters != "" || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return host + "-" + letters, err
	}
	letters := strings.ToLower(rand.Text()[:5])
	if err = os.MkdirAll(stateDir, 0o700); err == nil {
		err = durable.Replace(path, []byte(letters+"\n"))
	}
	return host + "-" + letters, err
}

// newFleet makes what other gateways on the queue find out hold here too, and what this one does there; nil: no other can
// have the queue open.
func (g *Gateway) newFleet(s queue.Settings) *fleet.Fleet {
	store := g.queue.Fleet()
	if store == nil {
		return nil
	}
	return fleet.New(fleet.Config{Store: store, Name: s.Gateway, Lease: s.Lease, About: g.about,
		Gates:  func() []*gate.Gate { return g.deliverer.Gates() },
		Follow: func(ctx context.Context) { g.deliverer.FollowPauses(ctx) }, Report: func(err error) { g.journal.InternalError("queue", err) }})
}

// about is what the other gateways may know of this one.
func (g *Gateway) about() queue.Gateway {
	about := queue.Gateway{Version: g.opts.Version, Since: g.started}
	cfg := g.current.Load()
	for i := range cfg.Upstreams {
		about.Lanes = append(about.Lanes, cfg.Upstreams[i].Name)
	}
	slices.Sort(about.Lanes)
	return about
}

// runFleet keeps this gateway among the others until ctx ends.
func (g *Gateway) runFleet(ctx context.Context) error {
	if g.fleet == nil {
		return nil
	}
	return g.fleet.Run(ctx)
}

// storeAway returns why the database of a shared queue is out of reach; nil: it is not, or there is none.
func (g *Gateway) storeAway() error {
	if g.fleet == nil {
		return nil
	}
	return g.fleet.Away()
}

// whileAway says what a database that is out of reach means for mail, and why it is; "": it is not.
func (g *Gateway) whileAway() string {
	err := g.storeAway()
	switch {
	case err == nil:
		return ""
	case g.current.Load().Queue.FallbackSpool:
		return "new mail is kept in the spool of this gateway, and none is delivered: " + err.Error()
	}
	return "new mail is refused: " + err.Error()
}

// gateways lists those on the queue and names this one; none: no other can have it open.
func (g *Gateway) gateways(ctx context.Context) (own string, all []queue.Gateway, err error) {
	if g.fleet == nil {
		return "", nil, nil
	}
	all, err = g.fleet.Gateways(ctx)
	return g.fleet.Name(), all, err
}

// shareTokens makes the upstreams of a config keep their access tokens in the store of a fleet, where there is one, and returns
// the vault of this gateway: the one before, unless that is nil.
func shareTokens(cfg *config.Config, store queue.Fleet, vault *fleet.Vault) *fleet.Vault {
	if store == nil {
		return nil
	}
	if vault == nil {
		vault = fleet.NewVault(store)
	}
	for _, u := range tokenSharers(cfg) {
		u.ShareTokens(vault)
	}
	return vault
}

func tokenSharers(cfg *config.Config) (list []upstream.TokenSharer) {
	for i := range cfg.Upstreams {
		if u, ok := cfg.Upstreams[i].Upstream.(upstream.TokenSharer); ok && u.HasTokens() {
			list = append(list, u)
		}
	}
	return list
}

// ShareTokens makes the upstreams of a config use the access tokens of the gateways on its queue, for a command that works
// beside them. end is called after the last use. Where the queue is this machine's own, nothing changes.
func ShareTokens(ctx context.Context, cfg *config.Config) (end func() error, err error) {
	end = func() error { return nil }
	if !engines.Shared(cfg.Queue.Engine) || len(tokenSharers(cfg)) == 0 {
		return end, nil
	}
	host, _ := os.Hostname()
	s := queue.Settings{URL: cfg.Queue.URL.Reveal(), Gateway: host + "-command-" + strings.ToLower(rand.Text()[:5]), Lease: cfg.Queue.Lease.Duration}
	q, err := engines.Read(ctx, cfg.Queue.Engine, s)
	if err != nil {
		return end, err
	}
	if shared, ok := q.(interface{ Fleet() queue.Fleet }); ok {
		shareTokens(cfg, shared.Fleet(), nil)
	}
	return q.Close, nil
}

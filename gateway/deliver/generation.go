package deliver

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"mailhatch/gateway/budget"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/notices"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
)

// services are what all generations share.
type services struct {
	queue   queue.Queue
	journal *journal.Journal
	submit  Submit
	memory  *budget.Memory
	bounces notices.Notices
	delays  notices.Notices
	fleet   Fleet         // nil: this gateway is alone
	passed  chan struct{} // one token: a dispatcher has ended, and may have taken the queue's signal from the next one

	unrecorded atomic.Int64 // attempts whose writes the store does not take for now: no lane offers anything new
	underWay   waiting.UnderWay
	pauses     gate.Pauses
}

// Submit accepts a composed notification as all mail is accepted and returns its queue id.
type Submit func(ctx context.Context, to string, msg []byte) (id string, err error)

// generation is delivery under one config.
type generation struct {
	*services
	cfg      *Config
	lanes    map[string]*lane
	reloaded bool          // it is not the first one
	counted  []string      // upstreams at which a process that is dead has counted all that it offered
	look     chan struct{} // one token: ask soon when mail is due next

	announced bool // the queue knows its lanes; the dispatcher's own

	inUse sync.RWMutex // held for reading by direct offers
	over  bool         // its upstreams are closed
}

// lane offers the mail of one upstream: one claimer, MaxConcurrent workers.
type lane struct {
	gen      *generation
	upstream *Upstream // Upstream.Upstream is nil for digests and in stray lanes: their mail is routed anew
	gate     *gate.Gate
	wake     chan struct{}
	jobs     chan job
	counting sync.Mutex
}

// leaseTime is how long a claim lasts unless it is extended.
const leaseTime = 20 * time.Minute

// digestLane is where failures wait that are reported in a digest.
const digestLane = waiting.DigestLane

func newGeneration(s *services, cfg *Config, reloaded bool) *generation {
	g := &generation{services: s, cfg: cfg, lanes: make(map[string]*lane, len(cfg.Upstreams)+1), reloaded: reloaded,
		look: make(chan struct{}, 1)}
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		g.lanes[u.Name] = newLane(g, u)
		s.journal.UpstreamKnown(u.Name, g.lanes[u.Name].gate.State() == gate.Open)
	}
	g.lanes[digestLane] = newLane(g, &Upstream{Name: digestLane, MaxConcurrent: 1})
	return g
}

func newLane(g *generation, u *Upstream) *lane {
	p := &g.cfg.Policy
	settings := gate.Settings{Name: u.Name, MaxConcurrent: u.MaxConcurrent, Rate: u.Rate, RatePerDomain: u.RatePerDomain, Alternatives: u.Failover,
		Quota: u.Quota, QuotaZone: u.QuotaZone, Now: g.cfg.Clock.Now,
		Retry: p.Retry, MaxAge: p.MaxAge, Pause: g.pauses.Of(u.Name), Reloaded: g.reloaded}
	if len(p.WarnAfter) > 0 {
		settings.WarnAfter = p.WarnAfter[0]
	}
	if g.fleet != nil && u.Upstream != nil {
		settings.Peers, settings.Limits = g.fleet, g.fleet.Limits(u)
	}
	return &lane{gen: g, upstream: u, gate: gate.New(settings, g.journal), wake: make(chan struct{}, 1), jobs: make(chan job, u.MaxConcurrent)}
}

// followPauses makes the gates follow what operators have paused.
func (g *generation) followPauses(ctx context.Context) {
	if err := g.pauses.Follow(ctx, g.gates()); err != nil && ctx.Err() == nil {
		g.journal.InternalError("queue", err)
	}
}

// gates returns those of the upstreams.
func (g *generation) gates() []*gate.Gate {
	list := make([]*gate.Gate, 0, len(g.cfg.Upstreams))
	for i := range g.cfg.Upstreams {
		list = append(list, g.lanes[g.cfg.Upstreams[i].Name].gate)
	}
	return list
}

// poke wakes the lane: mail is due.
func (l *lane) poke() { signal(l.wake) }

func (g *generation) pokeAll() {
	for _, l := range g.lanes {
		l.poke()
	}
}

// recheck makes the dispatcher ask again within lookSoon when mail is due.
func (g *generation) recheck() { signal(g.look) }

func signal(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

func drain(token <-chan struct{}) {
	select {
	case <-token:
	default:
	}
}

// hasten makes the mail of a lane due now that is due later than after; the zero time: all of it.
func (g *generation) hasten(ctx context.Context, lane string, after time.Time) {
	if err := g.queue.Hasten(ctx, lane, after); err != nil && ctx.Err() == nil {
		g.journal.InternalError("queue", err)
	}
}

// hastenClosed makes the mail due that waits for closed gates, or for its From to be taken: a reload may have healed that. It is called
// at the reload and again when the last attempts have put their mail off.
func (g *generation) hastenClosed(ctx context.Context) {
	for name, l := range g.lanes {
		if (l.gate.State() != gate.Open || l.gate.RefusesSenders()) && ctx.Err() == nil {
			g.hasten(ctx, name, time.Time{})
		}
	}
}

// hastenMost bounds the time for that at the end of delivery.
const hastenMost = 5 * time.Second

// hastenAtEnd makes the mail due, for the next start, that waits for closed gates: the start may bring what heals them. What
// it does not get to waits for its schedule.
func (g *generation) hastenAtEnd(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hastenMost)
	defer cancel()
	g.hastenClosed(ctx)
}

// close closes the upstreams once no direct offer uses them.
func (g *generation) close() {
	g.inUse.Lock()
	defer g.inUse.Unlock()
	g.over = true
	for _, l := range g.lanes {
		if c, ok := l.upstream.Upstream.(io.Closer); ok {
			_ = c.Close()
		}
	}
}

// purpose is what a part is claimed for.
type purpose int

const (
	toOffer purpose = iota
	toProbe         // to try an upstream whose gate is probing
	toSweep         // the gate is closed: only move it on or give it up
)

// job is a claimed part for a worker.
type job struct {
	lease   queue.Lease
	purpose purpose
	done    func()
}

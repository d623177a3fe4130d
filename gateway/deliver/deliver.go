// Package deliver takes due mail to its upstreams and records what became of it.
//
// Each upstream has a lane of the queue, a gate and workers of its own, so that a slow or dead one
// delays no other. A gate closes when the upstream is out of reach, throttles, or refuses our
// account; probes open it again.
package deliver

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// Upstream is one upstream with the settings that are the same for every kind.
type Upstream struct {
	Name          string
	Upstream      upstream.Upstream
	SMTP          bool    // its statuses are SMTP reply codes
	MaxConcurrent int     // offers at once, at least 1
	Rate          float64 // offers a second; 0: no limit
	Failover      bool    // some route names another upstream beside it
	Rewrite       Rewrite // nil: mail goes as it is
}

// Rewrite gives the envelope sender and the header edits that an upstream asks for (from_domains).
type Rewrite func(from string, msg *mime.Message) (newFrom string, edits []mime.Edit)

// Config is one generation of what delivery follows. It is not changed after it was handed over.
type Config struct {
	Upstreams []Upstream
	Route     func(m *queue.Message, msg *mime.Message, to string) route.Decision
	Policy    Policy
}

// Policy is the [queue] table of the config.
type Policy struct {
	Retry         []time.Duration // waits after the first, second… attempt; the last one repeats
	MaxAge        time.Duration   // since the message was accepted
	FailoverAfter int             // temporary failures at one upstream before the next is tried
	OnFailure     string          // bounce | keep | discard, where the route does not say
	OnUncertain   string          // retry | hold | failover
	WarnAfter     time.Duration   // 0: senders are not told of delays
	Hostname      string          // in bounces
	Drain         time.Duration   // how long running attempts may go on after a stop
}

// ErrRefused is wrapped by the errors of Submit that no later attempt mends.
var ErrRefused = errors.New("the notification is refused")

// Submit takes a composed bounce through the same door as all mail and gives its queue id.
type Submit func(ctx context.Context, to string, msg []byte) (id string, err error)

// Deliverer delivers. Make one with New.
type Deliverer struct {
	queue   queue.Queue
	journal *journal.Journal
	submit  Submit
	told    *told
	late    *late
	reload  chan struct{} // one token: config changed
	config  atomic.Pointer[Config]
	current atomic.Pointer[generation]
	running chan struct{} // closed once current is there
}

// New returns a deliverer that follows cfg once it runs.
func New(q queue.Queue, j *journal.Journal, submit Submit, cfg *Config) *Deliverer {
	d := &Deliverer{queue: q, journal: j, submit: submit, told: newTold(), late: newLate(), reload: make(chan struct{}, 1), running: make(chan struct{})}
	d.config.Store(cfg)
	return d
}

// Reload makes delivery follow cfg. Attempts that are under way end by the old one; all gates open.
func (d *Deliverer) Reload(cfg *Config) {
	d.config.Store(cfg)
	select {
	case d.reload <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends, then lets running attempts end for at most Policy.Drain.
func (d *Deliverer) Run(ctx context.Context) error {
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var old sync.WaitGroup // generations that end their attempts
	reloaded := false
	for {
		gen := newGeneration(d, d.config.Load(), attempts, reloaded)
		reloaded = true
		if d.current.Swap(gen) == nil {
			close(d.running)
		}
		genCtx, stop := context.WithCancel(ctx)
		old.Go(func() {
			gen.run(genCtx)
			gen.close()
			gen.leave(ctx)
		})
		select {
		case <-d.reload:
			stop()
			gen.leave(ctx)
			continue
		case <-ctx.Done():
		}
		stop()
		timer := time.AfterFunc(gen.cfg.Policy.Drain, cut)
		old.Wait()
		timer.Stop()
		d.tellLate(context.WithoutCancel(ctx), gen.cfg.Policy.Hostname, time.Now().Add(longestPause)) // all
		return nil
	}
}

// generation is delivery under one config.
type generation struct {
	d        *Deliverer
	cfg      *Config
	lanes    map[string]*lane
	attempts context.Context // of the calls of upstreams; outlives the claiming of new mail
	rerouted bool            // it came by a reload
	look     chan struct{}   // one token: ask soon when mail is due next

	inUse sync.RWMutex // held for reading by direct offers
	over  bool         // its upstreams are closed
}

func newGeneration(d *Deliverer, cfg *Config, attempts context.Context, rerouted bool) *generation {
	g := &generation{d: d, cfg: cfg, lanes: make(map[string]*lane, len(cfg.Upstreams)), attempts: attempts, rerouted: rerouted,
		look: make(chan struct{}, 1)}
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		g.lanes[u.Name] = newLane(g, u)
		d.journal.UpstreamKnown(u.Name)
	}
	return g
}

// recheck makes the dispatcher ask again within lookSoon when mail is due.
func (g *generation) recheck() {
	select {
	case g.look <- struct{}{}:
	default:
	}
}

func drain(token <-chan struct{}) {
	select {
	case <-token:
	default:
	}
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

// leave makes the mail due that waits for closed gates: a reload may have healed them. It is called at the
// reload and again when the last attempts have put their mail off.
func (g *generation) leave(ctx context.Context) {
	for name, l := range g.lanes {
		if l.gate.now() != open && ctx.Err() == nil {
			g.hasten(ctx, name)
		}
	}
}

const (
	// dispatchEvery bounds how long a lane can stay unaware of due mail when a signal was missed.
	dispatchEvery = 5 * time.Second
	// lookSoon is how long a look waits that is only for what falls due later. Under load new mail comes
	// before, which is looked for at once, and one look serves both.
	lookSoon = 20 * time.Millisecond
)

// run wakes lanes as mail becomes due and waits for all that it started.
func (g *generation) run(ctx context.Context) {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	for _, l := range g.lanes {
		lanes.Go(func() { l.run(ctx) })
	}
	clock := newWallClock(g.rerouted)
	stray := map[string]*lane{} // lanes of upstreams that the config no longer has, and "" for mail without one
	due := time.Now()           // of the next look
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.look:
			if time.Until(due) > lookSoon {
				due = time.Now().Add(lookSoon)
				timer.Reset(lookSoon)
			}
			continue
		case <-g.d.queue.Changed():
		case <-timer.C:
		}
		drain(g.look) // one look serves all who asked for it before
		drain(g.d.queue.Changed())
		if clock.suspect() {
			g.mend(ctx)
		}
		g.d.tellLate(ctx, g.cfg.Policy.Hostname, time.Now())
		next := dispatchEvery
		loads, err := g.d.queue.Lanes(ctx)
		if err != nil && ctx.Err() == nil {
			g.d.journal.InternalError("queue", err)
		}
		for name, load := range loads {
			l := g.lanes[name]
			if l == nil {
				if l = stray[name]; l == nil {
					l = newLane(g, &Upstream{Name: name, MaxConcurrent: 1})
					stray[name] = l
					lanes.Go(func() { l.run(ctx) })
				}
			}
			if wait := time.Until(load.NextAt); wait > 0 {
				next = min(next, wait)
			} else {
				l.poke()
			}
		}
		next = max(next, time.Millisecond)
		due = time.Now().Add(next)
		timer.Reset(next)
	}
}

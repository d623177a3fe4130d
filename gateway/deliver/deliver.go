// Package deliver takes due mail to its upstreams and records what became of it.
//
// Each upstream has a lane of the queue, a gate and workers of its own, so that a slow or dead one
// delays no other. A gate closes when the upstream is out of reach, throttles, or refuses the
// account; probes open it again.
//
// From top to bottom: deliver.go (one [Deliverer], one generation for each config) → dispatch.go (wakes
// lanes as mail falls due) → lane.go (claims it, and probes), with digest.go → direct.go (an offer
// without the queue) → attempt.go (one part: its routing, its offer), with quota.go and trace.go (an offer whose outcome is
// unknown) → settle.go (what outcomes lead to) → fail.go → notify.go (bounces) → result.go (what is stored and logged) →
// destination.go → generation.go, config.go. Rooms below: offer, gate, schedule, notices, waiting.
package deliver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"mailhatch/gateway/budget"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/notices"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
)

// Deliverer delivers. Make one with New.
type Deliverer struct {
	services
	reload  chan struct{} // one token: config changed
	config  atomic.Pointer[Config]
	current atomic.Pointer[generation]

	counting []string // Run's own: upstreams at which all offers are counted
	counted  []string // Run's own: those of them where that was so before the start

	running chan struct{} // closed once current is there
}

// New returns a deliverer that follows cfg once it runs. What it holds of messages it takes from memory.
func New(q queue.Queue, j *journal.Journal, submit Submit, memory *budget.Memory, cfg *Config) *Deliverer {
	d := &Deliverer{services: services{queue: q, journal: j, submit: submit, memory: memory, bounces: notices.New(), delays: notices.New(),
		pauses: gate.Pauses{Board: cfg.Pauses}, fleet: cfg.Fleet, passed: make(chan struct{}, 1)},
		reload: make(chan struct{}, 1), running: make(chan struct{})}
	if cfg.Fleet != nil {
		d.bounces, d.delays = cfg.Fleet.Notices("bounces", notices.Limit, notices.Window), cfg.Fleet.Notices("delays", notices.Limit, notices.Window)
	}
	d.config.Store(cfg)
	return d
}

// Reload makes delivery follow cfg. Attempts that are under way end by the old one; all gates open.
func (d *Deliverer) Reload(cfg *Config) {
	d.config.Store(cfg)
	signal(d.reload)
}

// awayRest is between two looks for a queue that is out of reach when delivery starts.
const awayRest = 500 * time.Millisecond

// Run delivers until ctx ends, then lets running attempts end for at most Policy.Drain.
func (d *Deliverer) Run(ctx context.Context) error {
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var old sync.WaitGroup // generations that end their attempts
	reloaded := false
	for {
		cfg := d.config.Load()
		if !d.startCounting(ctx, cfg, !reloaded) { // whose pauses are not known either
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(awayRest):
			}
			continue
		}
		gen := newGeneration(&d.services, cfg, reloaded)
		gen.counted = d.counted
		gen.followPauses(ctx)
		for _, l := range gen.lanes {
			l.recount(ctx)
		}
		if d.current.Swap(gen) == nil {
			close(d.running)
		} else {
			gen.followPauses(ctx) // an operator may have paused an upstream of the one before meanwhile
		}
		reloaded = true
		genCtx, stop := context.WithCancel(ctx)
		old.Go(func() {
			gen.run(genCtx, attempts)
			gen.close()
			gen.hastenClosed(ctx)
		})
		select {
		case <-d.reload:
			stop()
			gen.hastenClosed(ctx)
			continue
		case <-ctx.Done():
		}
		stop()
		timer := time.AfterFunc(gen.cfg.Policy.Drain, cut)
		old.Wait()
		timer.Stop()
		gen.hastenAtEnd(ctx)
		return nil
	}
}

// Await waits until delivery runs, but not for long: who asks may be a little earlier.
func (d *Deliverer) Await(ctx context.Context) {
	select {
	case <-d.running:
	case <-ctx.Done():
	case <-time.After(startWait):
	}
}

// Status returns how the upstreams are, in the order of the config.
func (d *Deliverer) Status() []gate.Status {
	g := d.current.Load()
	if g == nil {
		return nil
	}
	list := make([]gate.Status, 0, len(g.cfg.Upstreams))
	for i := range g.cfg.Upstreams {
		list = append(list, g.lanes[g.cfg.Upstreams[i].Name].gate.Status())
	}
	return list
}

// AtRate reports whether the rate of an upstream keeps mail waiting, or would if there were more.
func (d *Deliverer) AtRate(upstream string) bool {
	g := d.current.Load()
	return g != nil && g.lanes[upstream] != nil && !g.lanes[upstream].gate.Status().NextToken.IsZero()
}

// View returns how delivery is, for those who ask why mail waits.
func (d *Deliverer) View() *waiting.View {
	v := &waiting.View{}
	g := d.current.Load()
	if g == nil {
		return v
	}
	v.Running, v.Now, v.Stuck = true, g.cfg.Clock.Now(), d.unrecorded.Load() > 0
	v.Upstreams = map[string]gate.Status{}
	for _, s := range d.Status() {
		v.Upstreams[s.Name] = s
	}
	v.UnderWay = d.underWay.List()
	return v
}

// Pause has an upstream offered nothing until somebody resumes it, restarts included. Mail waits, or goes to the next
// upstream of its route.
func (d *Deliverer) Pause(ctx context.Context, upstream, by string) error {
	return d.pauses.Pause(ctx, upstream, by, d.Gates())
}

// Resume ends the pause of an upstream. Its mail is due at once.
func (d *Deliverer) Resume(ctx context.Context, upstream, by string) error {
	if err := d.pauses.Resume(ctx, upstream, by, d.Gates()); err != nil {
		return err
	}
	return d.queue.Hasten(ctx, upstream, time.Time{})
}

// FollowPauses makes the upstreams follow what operators have paused elsewhere.
func (d *Deliverer) FollowPauses(ctx context.Context) {
	if g := d.current.Load(); g != nil {
		g.followPauses(ctx)
	}
}

// Gates returns those of the upstreams.
func (d *Deliverer) Gates() []*gate.Gate {
	if g := d.current.Load(); g != nil {
		return g.gates()
	}
	return nil
}

// Retry tries a closed upstream soon, and with the next mail each From that it refuses: what was wrong was seen to, or
// somebody wants to know. A quota that is used up and an operator's pause stand.
func (d *Deliverer) Retry(upstream string) {
	if g := d.current.Load(); g != nil && g.lanes[upstream] != nil {
		g.lanes[upstream].gate.ProbeSoon()
		g.lanes[upstream].gate.TrySenders()
	}
}

// Flush makes mail that is queued for an upstream due now, whatever its schedule, and tries the upstream if it is closed,
// unless it throttles: who flushes every few minutes must not be too fast for that.
func (d *Deliverer) Flush(ctx context.Context, upstream string) error {
	if g := d.current.Load(); g != nil && g.lanes[upstream] != nil && g.lanes[upstream].gate.Reason() != gate.Throttled {
		d.Retry(upstream)
	}
	return d.queue.Hasten(ctx, upstream, time.Time{})
}

// Reroute has queued mail that is due routed anew soon where its upstream is closed; where it is open, the next attempt
// does so.
func (d *Deliverer) Reroute(upstream string) {
	if g := d.current.Load(); g != nil && g.lanes[upstream] != nil {
		g.lanes[upstream].gate.SweepNow()
	}
}

// Choose returns the first of the named upstreams that is not closed; all closed: the first.
func (d *Deliverer) Choose(via []string) string {
	if g := d.current.Load(); g != nil {
		if name := g.choose(via, &envelope.Progress{}, ""); name != "" {
			return name
		}
	}
	return via[0]
}

// startWait bounds how long direct mail, and operators, wait for delivery to run: listeners may be a little earlier.
const startWait = 3 * time.Second

// Direct offers a part once, to its lane and on failure along its route, and waits for the outcome.
func (d *Deliverer) Direct(ctx context.Context, m *queue.Message, msg *mime.Message, part queue.Part) DirectResult {
	d.Await(ctx)
	g := d.enter()
	if g == nil {
		return notOffered(part)
	}
	defer g.inUse.RUnlock()
	return g.direct(ctx, m, msg, part)
}

// enter returns the generation of now and keeps its upstreams open until inUse is unlocked; nil: delivery
// does not run.
func (d *Deliverer) enter() *generation {
	for {
		g := d.current.Load()
		if g == nil {
			return nil
		}
		g.inUse.RLock()
		if !g.over {
			return g
		}
		g.inUse.RUnlock()
		if d.current.Load() == g {
			return nil
		}
	}
}

package deliver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

const (
	// dispatchEvery is how often the dispatcher looks at least; lanes wake by themselves as often.
	dispatchEvery = laneRest
	// lookSoon is how long a look waits that is only for what falls due later. Under load new mail comes
	// before, which is looked for at once, and one look serves both.
	lookSoon = 20 * time.Millisecond
)

// run wakes lanes as mail becomes due and waits for all that it started. The end of attempts cuts offers off.
func (g *generation) run(ctx, attempts context.Context) {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	for _, l := range g.lanes {
		lanes.Go(func() { l.run(ctx, attempts) })
		if r, ok := l.upstream.Upstream.(upstream.Runner); ok {
			lanes.Go(func() { g.work(ctx, l.upstream.Name, r) })
		}
	}
	stray := map[string]*lane{} // lanes that no gateway serves any more, and "" for mail without an upstream
	laneOf := func(name string) *lane {
		if l := g.lanes[name]; l != nil {
			return l
		}
		l := stray[name]
		if l == nil {
			l = newLane(g, &Upstream{Name: name, MaxConcurrent: 1})
			stray[name] = l
			lanes.Go(func() { l.run(ctx, attempts) })
		}
		return l
	}
	steps := g.cfg.Clock.Followed()
	if !g.reloaded { // a clock that was ahead before the start may have put mail off for years
		g.hastenAll(ctx, g.cfg.Clock.Now().Add(g.cfg.Policy.Retry.Longest()))
	}
	due := time.Now() // of the next look
	followed := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			signal(g.passed)
			return
		case <-g.look:
			if time.Until(due) > lookSoon {
				due = time.Now().Add(lookSoon)
				timer.Reset(lookSoon)
			}
			continue
		case <-g.queue.Changed():
		case <-g.passed:
		case <-timer.C:
		}
		drain(g.look) // one look serves all who asked for it before
		drain(g.queue.Changed())
		if n := g.cfg.Clock.Followed(); n != steps {
			steps = n
			g.hastenAll(ctx, time.Time{}) // what is scheduled is so by the time of day before
		}
		if time.Since(followed) >= dispatchEvery { // other gateways on this queue may have been told of a pause
			followed = time.Now()
			g.followPauses(ctx)
		}
		next := g.wakeLanes(ctx, laneOf)
		due = time.Now().Add(next)
		timer.Reset(next)
	}
}

// work lets an upstream do what it has to do beside mail.
func (g *generation) work(ctx context.Context, name string, r upstream.Runner) {
	if err := r.Run(ctx); err != nil {
		g.journal.InternalError("upstream", fmt.Errorf("%s: %w", name, err))
	}
}

// wakeLanes looks at the queue once and returns when to look again.
func (g *generation) wakeLanes(ctx context.Context, laneOf func(name string) *lane) (next time.Duration) {
	next = dispatchEvery
	if !g.announced {
		err := g.queue.Serve(ctx, slices.Collect(maps.Keys(g.lanes)))
		if g.announced = err == nil; !g.announced && ctx.Err() == nil {
			g.journal.InternalError("queue", err)
		}
	}
	for name, load := range g.loads(ctx) {
		if wait := load.NextAt.Sub(g.cfg.Clock.Now()); wait > 0 {
			next = min(next, wait)
		} else {
			laneOf(name).poke()
		}
	}
	return max(next, time.Millisecond)
}

// loads returns the lanes with mail that this gateway sees to: those that no other delivers.
func (g *generation) loads(ctx context.Context) map[string]queue.Lane {
	loads, err := g.queue.Lanes(ctx)
	if err != nil && ctx.Err() == nil {
		g.journal.InternalError("queue", err)
	}
	maps.DeleteFunc(loads, func(name string, load queue.Lane) bool { return load.Served && g.lanes[name] == nil })
	return loads
}

// hastenAll makes mail due now that is due later than after.
func (g *generation) hastenAll(ctx context.Context, after time.Time) {
	for name := range g.loads(ctx) {
		g.hasten(ctx, name, after)
	}
}

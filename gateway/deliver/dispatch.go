package deliver

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
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
	clock := newWallClock(g.reloaded)
	due := time.Now() // of the next look
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
		case <-g.queue.Changed():
		case <-timer.C:
		}
		drain(g.look) // one look serves all who asked for it before
		drain(g.queue.Changed())
		next := g.wakeLanes(ctx, clock.suspect(), laneOf)
		due = time.Now().Add(next)
		timer.Reset(next)
	}
}

// wakeLanes looks at the queue once and returns when to look again. Where the clock is suspect, mail is made
// due that waits for longer than any schedule asks for.
func (g *generation) wakeLanes(ctx context.Context, suspect bool, laneOf func(name string) *lane) (next time.Duration) {
	next = dispatchEvery
	if !g.announced {
		err := g.queue.Serve(ctx, slices.Collect(maps.Keys(g.lanes)))
		if g.announced = err == nil; !g.announced && ctx.Err() == nil {
			g.journal.InternalError("queue", err)
		}
	}
	loads, err := g.queue.Lanes(ctx)
	if err != nil && ctx.Err() == nil {
		g.journal.InternalError("queue", err)
	}
	for name, load := range loads {
		if load.Served && g.lanes[name] == nil {
			continue // another gateway delivers it
		}
		if suspect {
			g.hasten(ctx, name, time.Now().Add(g.cfg.Policy.longest()))
			next = 0
		}
		if wait := time.Until(load.NextAt); wait > 0 {
			next = min(next, wait)
		} else {
			laneOf(name).poke()
		}
	}
	return max(next, time.Millisecond)
}

// clockStep is a difference of the clocks that is no drift.
const clockStep = time.Minute

// wallClock notices that the time of day was set back, by comparison with the monotonic clock.
type wallClock struct {
	mark time.Time // zero: not looked at yet
}

// newWallClock suspects what happened before its first look, unless the program looked before.
func newWallClock(known bool) *wallClock {
	if known {
		return &wallClock{mark: time.Now()}
	}
	return &wallClock{}
}

// suspect reports whether schedules may have been made by a clock that was ahead.
func (c *wallClock) suspect() bool {
	before, now := c.mark, time.Now()
	c.mark = now
	if before.IsZero() {
		return true
	}
	return now.Round(0).Sub(before.Round(0)) < now.Sub(before)-clockStep
}

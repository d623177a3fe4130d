package deliver

import (
	"context"
	"math/rand/v2"
	"time"
)

// wait gives the pause before the next attempt after so many were made, spread by ±10 %, so that mail
// that was deferred together does not come back together.
func (p *Policy) wait(attempts int) time.Duration {
	d := p.Retry[min(max(attempts-1, 0), len(p.Retry)-1)]
	return spread(d)
}

func spread(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

// longestPause is what a provider may ask for; upstreams cut Retry-After there.
const longestPause = 24 * time.Hour

// longest is the end of what a schedule can have asked for: mail that is due later was put off by a
// clock that was wrong.
func (p *Policy) longest() time.Duration {
	d := longestPause
	for _, step := range p.Retry {
		d = max(d, step)
	}
	return d + d/4
}

// mend makes the mail due that waits for longer than any schedule asks for.
func (g *generation) mend(ctx context.Context) {
	lanes, err := g.d.queue.Lanes(ctx)
	if err != nil && ctx.Err() == nil {
		g.d.journal.InternalError("queue", err)
	}
	limit := time.Now().Add(g.cfg.Policy.longest())
	for lane := range lanes {
		g.hastenAfter(ctx, lane, limit)
	}
}

// clockStep is a difference of the clocks that is no drift.
const clockStep = time.Minute

// wallClock notices that the time of day was set back, by the clock that only runs.
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

// suspect says whether schedules may have been made by a clock that was ahead.
func (c *wallClock) suspect() bool {
	before, now := c.mark, time.Now()
	c.mark = now
	if before.IsZero() {
		return true
	}
	return now.Round(0).Sub(before.Round(0)) < now.Sub(before)-clockStep
}

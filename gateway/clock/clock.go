// Package clock is the time of day as far as it can be believed.
//
// Ages, schedules and what is kept for how long depend on the time of day, and a machine's may be wrong for a while: ten
// days ahead for half a minute, mail would be too old and history would go. The clock that only runs forward shows such
// a step. It is not followed before a provider's clock confirms it or it has stood for an hour.
package clock

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// Step is a difference of the clocks that drift does not make.
	Step = time.Minute
	// Stand is how long a step that nobody confirms must stand before it is followed.
	Stand = time.Hour
	// Agree is the greatest difference to a provider's clock that agrees with ours.
	Agree = 5 * time.Minute
)

// Clock shows the time of day. Its methods may be called at once from many goroutines. A nil Clock is the wall clock.
type Clock struct {
	wall  func() time.Time
	log   *slog.Logger
	start time.Time // with its reading of the clock that only runs forward

	mu      sync.Mutex
	base    time.Time     // the time of day at start, as it is believed
	step    time.Duration // that is not followed yet; 0: none
	seen    time.Duration // since start, of that step
	stepped int
}

// New returns a clock that believes wall for now; nil: time.Now.
func New(wall func() time.Time, log *slog.Logger) *Clock {
	if wall == nil {
		wall = time.Now
	}
	return &Clock{wall: wall, log: log, start: time.Now(), base: wall().Round(0)}
}

// Now returns the time of day that is believed, without a reading of the clock that only runs forward.
func (c *Clock) Now() time.Time {
	if c == nil {
		return time.Now().Round(0)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.look()
}

func (c *Clock) look() time.Time {
	ran := time.Since(c.start)
	believed := c.base.Add(ran)
	step := c.wall().Round(0).Sub(believed)
	switch {
	case step.Abs() < Step: // it drifts, or has come back
		if c.step != 0 {
			c.log.Info("the clock is back where it was", "step", c.step.Round(time.Second))
		}
		c.step, c.base = 0, c.base.Add(step)
	case (step - c.step).Abs() >= Step:
		c.step, c.seen = step, ran
		c.log.Warn("the clock has jumped; the jump is ignored until a provider's clock confirms it or an hour has passed",
			"step", step.Round(time.Second), "now", believed)
		return believed
	case ran-c.seen < Stand:
		return believed
	default:
		c.follow("it has stood for an hour")
	}
	return c.base.Add(ran)
}

func (c *Clock) follow(why string) {
	c.log.Warn("the clock's jump is followed: "+why, "step", c.step.Round(time.Second))
	c.base, c.step = c.base.Add(c.step), 0
	c.stepped++
}

// Since returns how long ago t was.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Confirm takes in the clock of a provider, as an answer that has just come shows it; the zero time: it shows none. It
// decides on a step: one that it agrees with is followed, any other must stand for an hour from now.
func (c *Clock) Confirm(date time.Time) {
	if c == nil || date.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	believed := c.look()
	switch {
	case c.step == 0:
	case date.Sub(believed.Add(c.step)).Abs() <= Agree && date.Sub(believed).Abs() > Step:
		c.follow("a provider's clock confirms it")
	case date.Sub(believed).Abs() <= Agree:
		c.seen = time.Since(c.start)
	}
}

// Followed returns how many steps were followed so far: after each, what was scheduled may be due far too late.
func (c *Clock) Followed() int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stepped
}

package deliver

import "time"

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

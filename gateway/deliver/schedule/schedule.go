// Package schedule says when something that failed is tried again.
package schedule

import (
	"math/rand/v2"
	"time"
)

// Schedule is the waits after the first, second… attempt; the last one repeats.
type Schedule []time.Duration

// After returns the wait after so many attempts, spread.
func (s Schedule) After(attempts int) time.Duration {
	return Spread(s[min(max(attempts-1, 0), len(s)-1)])
}

// longestPause is what a provider may ask for; upstreams cut Retry-After there.
const longestPause = 24 * time.Hour

// Longest returns how far ahead mail can have been put off: what is due later was put off by a clock that was wrong.
func (s Schedule) Longest() time.Duration {
	d := longestPause
	for _, step := range s {
		d = max(d, step)
	}
	return d + d/4
}

// Spread returns a time of d ±10 %: what is put off together does not come back together.
func Spread(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

// Package floor remembers where claims of a lane begin.
package floor

import (
	"math"
	"sync"
	"time"
)

// Floor is where claims of a lane begin in the order of what is due. Usually that is the first row. While the server keeps
// versions of rows that are gone, which a claim reads past, it is where the last look at all of them found one alive.
type Floor struct {
	mu      sync.Mutex
	at      int64     // a claim begins there
	until   time.Time // until then; afterwards one looks at all
	drained bool      // the last claim got less than it asked for
}

// New returns the floor of a lane of which nothing is known.
func New() *Floor { return &Floor{at: math.MinInt64, drained: true} }

const (
	cost  = 20 * time.Millisecond // a claim that takes longer makes a floor
	share = 20                    // it holds so many times as long as that claim took
	slack = 5000                  // milliseconds that mail may be due before what came before it
)

// Begin returns from when on a claim looks.
func (f *Floor) Begin(now time.Time) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.After(f.until) {
		f.at = math.MinInt64
	}
	return f.at
}

// Learn takes what a claim that began at from has cost and found: first is when its first part was due; 0: none.
func (f *Floor) Learn(began time.Time, took time.Duration, from, first int64, drained bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drained = drained
	if from == math.MinInt64 && took > cost && f.at == math.MinInt64 {
		if first == 0 {
			first = began.UnixMilli()
		}
		f.at, f.until = first-slack, began.Add(took*(share+1))
	}
}

// Reset makes the next claim look at all.
func (f *Floor) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = math.MinInt64
}

// TakeDrained reports whether the last claim has emptied the lane, once.
func (f *Floor) TakeDrained() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.drained
	f.drained = false
	return was
}

// Package backoff slows down those who guess passwords, without locking their owners out.
package backoff

import (
	"hash/maphash"
	"sync"
	"time"
)

// Failures make the next attempt wait one unit, then twice as long each time, up to a number of units.
// What others can do to an owner, by guessing from elsewhere or beside a login that works, is bounded by two.
const (
	maxNew    = 30 // a user at an address from which no login has succeeded
	maxProven = 2  // and from which one has
	maxUser   = 2  // a user at all addresses
	maxSource = 5  // an address, for all users without a proven login there

	free = 5 // failures of a user at all addresses, or of an address, that cost nothing
)

const (
	forgetFailures = time.Hour
	forgetProven   = 24 * time.Hour
	maxRecords     = 10_000 // some 100 bytes each
)

// Guard remembers failed logins. Its methods may be called at once from many goroutines.
type Guard struct {
	unit time.Duration
	now  func() time.Time
	seed maphash.Seed

	mu      sync.Mutex
	records map[key]record
}

// key is a user at a source, a user at all sources or a source: names are as long as clients like.
type key uint64

type record struct {
	failures int
	last     time.Time // of the failures
	proven   time.Time // of the last success
}

// New returns a guard. The unit of its delays is usually a second; a nil clock means time.Now.
func New(unit time.Duration, clock func() time.Time) *Guard {
	if clock == nil {
		clock = time.Now
	}
	return &Guard{unit: unit, now: clock, seed: maphash.MakeSeed(), records: map[key]record{}}
}

func (g *Guard) key(user, source string) key {
	var h maphash.Hash
	h.SetSeed(g.seed)
	_, _ = h.WriteString(user)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(source)
	return key(h.Sum64())
}

// keys returns the keys of a login: the user there, the user anywhere, anybody there.
func (g *Guard) keys(user, source string) (pair, byUser, bySource key) {
	return g.key("u"+user, "s"+source), g.key("u"+user, ""), g.key("", "s"+source)
}

// Wait returns how long it takes until a login may be tried; 0 means now. The source is an address or an account.
func (g *Guard) Wait(user, source string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	pair, byUser, bySource := g.keys(user, source)
	r := g.record(pair, now)
	if !r.proven.IsZero() {
		return g.left(r, 0, maxProven, now)
	}
	return max(g.left(r, 0, maxNew, now), g.left(g.record(byUser, now), free, maxUser, now),
		g.left(g.record(bySource, now), free, maxSource, now))
}

// left returns what is left of the delay after failures, of which some are free.
func (g *Guard) left(r record, free, most int, now time.Time) time.Duration {
	n := r.failures - free
	if n <= 0 {
		return 0
	}
	units := min(1<<min(n-1, 10), most)
	return max(0, time.Duration(units)*g.unit-now.Sub(r.last))
}

// Failed counts a wrong password.
func (g *Guard) Failed(user, source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	pair, byUser, bySource := g.keys(user, source)
	for _, k := range []key{pair, byUser, bySource} {
		r := g.record(k, now)
		r.failures++
		r.last = now
		g.keep(k, r, now)
	}
}

// Succeeded notes that the user has the password at this source.
func (g *Guard) Succeeded(user, source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	pair, _, _ := g.keys(user, source)
	g.keep(pair, record{proven: now}, now)
}

// record returns what is known under a key and not too old.
func (g *Guard) record(k key, now time.Time) record {
	r := g.records[k]
	if now.Sub(r.last) > forgetFailures {
		r.failures = 0
	}
	if now.Sub(r.proven) > forgetProven {
		r.proven = time.Time{}
	}
	return r
}

// keep remembers a record. When there are too many, the one of a handful that matters least is forgotten.
func (g *Guard) keep(k key, r record, now time.Time) {
	if _, known := g.records[k]; !known && len(g.records) >= maxRecords {
		var least key
		looked := 0
		for other := range g.records {
			if looked == 0 || g.worth(other, now) < g.worth(least, now) {
				least = other
			}
			if looked++; looked == 16 {
				break
			}
		}
		delete(g.records, least)
	}
	g.records[k] = r
}

// worth is how much would be lost with a record: proven logins most, then many failures.
func (g *Guard) worth(k key, now time.Time) int {
	r := g.record(k, now)
	if !r.proven.IsZero() {
		return maxRecords + r.failures
	}
	return r.failures
}

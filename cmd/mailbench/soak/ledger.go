package soak

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// path says by which upstreams a message travels.
type path uint8

const (
	byAPI path = iota
	byRelay
	byEither // the relay, or by failover the API
	byBoth   // a recipient each
)

func (w path) recipients() []string {
	return [...][]string{{"r@api.example"}, {"r@relay.example"}, {"r@either.example"}, {"r@api.example", "r@relay.example"}}[w]
}

// entry is what is known of one message.
type entry struct {
	way        path
	acked      bool
	api        uint16    // taken by the API under different keys
	relay      uint16    // taken by the relay
	unanswered uint16    // of these, takings that the gateway may not have heard of
	last       time.Time // when it was taken last
}

// ledger compares what was acknowledged with what arrived.
type ledger struct {
	mu      sync.Mutex
	entries []entry
	strange int // arrivals without a number
}

func newLedger() *ledger { return &ledger{} }

func (l *ledger) at(n int64) *entry {
	for int64(len(l.entries)) < n {
		l.entries = append(l.entries, entry{})
	}
	return &l.entries[n-1]
}

func (l *ledger) acknowledged(n int64, w path) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.at(n)
	e.acked, e.way = true, w
}

// numberOf reads the number out of an id; 0 when it is none.
func numberOf(id string) int64 {
	run, digits, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if run != runID || err != nil || n < 1 || n > 1e9 {
		return 0
	}
	return n
}

// took notes an arrival.
func (l *ledger) took(id string, api bool) {
	n := numberOf(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case n == 0:
		l.strange++
	default:
		e := l.at(n)
		if e.last = time.Now(); api {
			e.api++
		} else {
			e.relay++
		}
	}
}

// killed notes that the gateway may not have stored what was answered since a time. Where its log is damaged too, it
// does not even know which upstream it had offered a message to: one that the API took may come to the relay.
func (l *ledger) killed(since time.Time, damaged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.entries {
		e := &l.entries[i]
		taken := e.relay
		if damaged && e.way == byEither {
			taken += e.api
		}
		if taken > e.unanswered && e.last.After(since) {
			e.unanswered++
		}
	}
}

// unexplained names messages that the relay took too often, a few of them.
func (l *ledger) unexplained() (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.entries {
		var t tally
		if t.add(&l.entries[i]); t.unexplained > 0 && len(list) < 10 {
			list = append(list, fmt.Sprintf("%d: %+v", i+1, l.entries[i]))
		}
	}
	return list
}

// lostReply notes that the gateway may not have heard of an arrival at the relay.
func (l *ledger) lostReply(id string) {
	n := numberOf(id)
	if n == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at(n).unanswered++
}

// missing counts recipients that were acknowledged and have nothing.
func (l *ledger) missing() int { return l.tally().lost }

// tally is the sum of a ledger.
type tally struct {
	acked       int // messages
	recipients  int
	lost        int // acknowledged recipients that got nothing
	apiDoubles  int
	doubles     int // takings by the relay beyond the first, after a lost reply
	unexplained int // the same without a lost reply
	lostReplies int
	strange     int
}

func (l *ledger) tally() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := tally{strange: l.strange}
	for i := range l.entries {
		t.add(&l.entries[i])
	}
	return t
}

func (t *tally) add(e *entry) {
	api, relay, unanswered := int(e.api), int(e.relay), int(e.unanswered)
	t.lostReplies += unanswered
	if e.acked {
		t.acked++
		t.recipients += len(e.way.recipients())
		t.lost += e.lost()
	}
	t.apiDoubles += max(0, api-1)
	first := 1
	if e.way == byEither && api > 0 {
		first = 0 // the API had the first
	}
	t.doubles += min(max(0, relay-first), unanswered)
	t.unexplained += max(0, relay-first-unanswered)
}

// lost counts recipients of an acknowledged message that got nothing.
func (e *entry) lost() (n int) {
	switch e.way {
	case byEither:
		if e.api+e.relay == 0 {
			n++
		}
	case byBoth, byAPI:
		if e.api == 0 {
			n++
		}
	}
	if (e.way == byBoth || e.way == byRelay) && e.relay == 0 {
		n++
	}
	return n
}

// faultPlan decides which offers fail and counts them by kind.
type faultPlan struct {
	share float64
	ended atomic.Bool
	mu    sync.Mutex
	kinds map[string]int
}

func newFaults(share float64) *faultPlan {
	return &faultPlan{share: share, kinds: map[string]int{}}
}

// end makes all offers succeed from now on.
func (f *faultPlan) end() { f.ended.Store(true) }

// pick returns "" or one of the kinds; one that stands in the list more often comes more often.
func (f *faultPlan) pick(kinds ...string) string {
	if f.ended.Load() || rand.Float64() >= f.share {
		return ""
	}
	kind := kinds[rand.IntN(len(kinds))]
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kinds[kind]++
	return kind
}

func (f *faultPlan) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := map[string]int{}
	for kind, n := range f.kinds {
		counts[kind] = n
	}
	return counts
}

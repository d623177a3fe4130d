package figures

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/journal"
)

const (
	perDay      = 24 * 6 // slots of ten minutes
	maxLanes    = 256    // upstreams that have counts of their own
	maxTroubles = 12     // kinds of failures that are told apart for each
	maxWords    = 300    // bytes of the words of a failure
)

// lane is what is counted of one upstream.
type lane struct {
	tens     [perDay]*slot // with what offers took for ages
	closed   [perDay]int64 // numbers of the slots in which it was closed
	since    time.Time     // it is closed; zero: it is not
	troubles []Trouble
}

// Trouble is failures of one class since the program started.
type Trouble struct {
	Class string
	Count int       // recipients
	Words string    // of the last one, as the provider said them
	ID    string    // of its message
	At    time.Time // when that was
}

// lane returns the counts of an upstream; nil where there is no room for more.
func (f *Figures) lane(name string) *lane {
	if l := f.lanes[name]; l != nil || name == "" || len(f.lanes) >= maxLanes {
		return l
	}
	l := &lane{}
	f.lanes[name] = l
	return l
}

func (l *lane) hear(e *journal.Event, c Count, now time.Time) {
	at(l.tens[:], now, ten).count(c, e.Took)
	switch e.Name {
	case "upstream_closed":
		if l.since.IsZero() {
			l.since = now
		}
	case "upstream_opened":
		l.mark(now)
		l.since = time.Time{}
	case "deferred", "failed", "failover":
		l.trouble(e, now)
	}
}

// mark notes the slots in which it was closed until now.
func (l *lane) mark(now time.Time) {
	if l.since.IsZero() {
		return
	}
	last := now.UnixNano() / int64(ten)
	for n := max(l.since.UnixNano()/int64(ten), last-perDay+1); n <= last; n++ {
		l.closed[n%perDay] = n
	}
}

func (l *lane) trouble(e *journal.Event, now time.Time) {
	i := slices.IndexFunc(l.troubles, func(t Trouble) bool { return t.Class == e.Class })
	if i < 0 {
		if len(l.troubles) >= maxTroubles {
			return
		}
		i = len(l.troubles)
		l.troubles = append(l.troubles, Trouble{Class: strings.Clone(e.Class)})
	}
	t := &l.troubles[i]
	t.Count += e.Recipients
	t.Words, t.ID, t.At = strings.ToValidUTF8(strings.Clone(e.Error[:min(len(e.Error), maxWords)]), ""), e.ID, now
}

// Latency returns how long an upstream took to take mail, in the last span of up to a day: half of the recipients were taken
// within half, all but one in a hundred within most. ok is false when it took none.
func (f *Figures) Latency(name string, span time.Duration) (half, most time.Duration, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.lanes[name]
	if l == nil {
		return 0, 0, false
	}
	return quantiles(l.tens[:], f.now(), span, ten)
}

// Closed says for each ten minutes of the last day, the oldest first, whether an upstream was closed in them.
func (f *Figures) Closed(name string) []bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]bool, perDay)
	l := f.lanes[name]
	if l == nil {
		return out
	}
	now := f.now()
	l.mark(now)
	last := now.UnixNano() / int64(ten)
	for i := range out {
		n := last - int64(perDay-1-i)
		out[i] = l.closed[n%perDay] == n
	}
	return out
}

// Troubles returns what has failed at an upstream, the most frequent first.
func (f *Figures) Troubles(name string) []Trouble {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.lanes[name]
	if l == nil {
		return nil
	}
	list := slices.Clone(l.troubles)
	slices.SortFunc(list, func(a, b Trouble) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Class, b.Class)) })
	return list
}

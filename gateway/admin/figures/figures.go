// Package figures counts what becomes of mail, minute by minute: it listens to the journal, and keeps the counts in a file
// now and then, so that the next start of the program goes on from there.
package figures

import (
	"sync"
	"time"

	"mailhatch/gateway/journal"
)

const (
	perMinute = 24 * 60    // slots of a minute: a day
	perTen    = 8 * 24 * 6 // slots of ten minutes: a week, and the day before it
	ten       = 10 * time.Minute
)

// Count is how many there were in some time.
type Count struct {
	Accepted   int `json:"a,omitempty"` // messages
	Recipients int `json:"r,omitempty"` // of these messages
	Sent       int `json:"s,omitempty"` // recipients that an upstream took
	Deferred   int `json:"d,omitempty"` // recipients put off, as often as they were
	Failed     int `json:"f,omitempty"` // recipients given up
}

func (c *Count) add(d Count) {
	c.Accepted += d.Accepted
	c.Recipients += d.Recipients
	c.Sent += d.Sent
	c.Deferred += d.Deferred
	c.Failed += d.Failed
}

// Point is the count of the time that begins At.
type Point struct {
	At time.Time
	Count
}

// Figures are the counts of the last week. Make them with New, or with Open where they are kept.
type Figures struct {
	now     func() time.Time
	dir     string // of the file
	since   time.Time
	mu      sync.Mutex
	heard   int64 // events that counted
	keptAt  int64 // heard, when the file was written last
	minutes [perMinute]*slot
	tens    [perTen]*slot
	lanes   map[string]*lane // by the names of upstreams
}

// slot is the count of one step of time.
type slot struct {
	number int64 // of the step since 1970
	Count
	ages ages
}

// New returns figures that begin now.
func New(now func() time.Time) *Figures {
	return &Figures{now: now, since: now(), lanes: map[string]*lane{}}
}

// Since is when counting began.
func (f *Figures) Since() time.Time { return f.since }

// Hear counts an event. It is a listener of the journal.
func (f *Figures) Hear(e journal.Event) {
	var c Count
	switch e.Name {
	case "accepted":
		c.Accepted, c.Recipients = 1, e.Recipients
	case "sent":
		c.Sent = e.Recipients
	case "deferred":
		c.Deferred = e.Recipients
	case "failed":
		c.Failed = e.Recipients
	case "failover", "upstream_closed", "upstream_opened":
	default:
		return
	}
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard++
	at(f.minutes[:], now, time.Minute).count(c, e.Age)
	at(f.tens[:], now, ten).count(c, e.Age)
	if l := f.lane(e.Upstream); l != nil {
		l.hear(&e, c, now)
	}
}

// at returns the slot of a time, emptied if it was that of an earlier round.
func at(ring []*slot, t time.Time, step time.Duration) *slot {
	number := t.UnixNano() / int64(step)
	s := &ring[number%int64(len(ring))]
	if *s == nil || (*s).number != number {
		*s = &slot{number: number}
	}
	return *s
}

func (s *slot) count(c Count, age time.Duration) {
	s.add(c)
	if c.Sent > 0 {
		s.ages.add(age, c.Sent)
	}
}

// each calls do with the slots of the steps that begin in a time.
func each(ring []*slot, from, until time.Time, step time.Duration, do func(at time.Time, s *slot)) {
	for _, s := range ring {
		if s == nil {
			continue
		}
		if t := time.Unix(0, s.number*int64(step)); !t.Before(from) && t.Before(until) {
			do(t, s)
		}
	}
}

// Series returns the counts of the last span, the oldest first, as points of a step each, which is a multiple of a
// minute, and of ten minutes where the span is longer than a day. The last point is that of now.
func (f *Figures) Series(span, step time.Duration) []Point {
	f.mu.Lock()
	defer f.mu.Unlock()
	ring, fine := f.ring(span)
	return series(ring, fine, f.now(), span, step)
}

// Upstream returns the counts of one upstream in the last day, in steps of at least ten minutes.
func (f *Figures) Upstream(name string, step time.Duration) []Point {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ring []*slot
	if l := f.lanes[name]; l != nil {
		ring = l.tens[:]
	}
	return series(ring, ten, f.now(), 24*time.Hour, step)
}

// ring returns the counts that reach back for a span, and their step.
func (f *Figures) ring(span time.Duration) ([]*slot, time.Duration) {
	if span <= 24*time.Hour {
		return f.minutes[:], time.Minute
	}
	return f.tens[:], ten
}

func series(ring []*slot, fine time.Duration, now time.Time, span, step time.Duration) []Point {
	points := make([]Point, span/step)
	last := now.Truncate(step)
	first := last.Add(-step * time.Duration(len(points)-1))
	for i := range points {
		points[i].At = first.Add(step * time.Duration(i))
	}
	each(ring, first, last.Add(step), fine, func(t time.Time, s *slot) { points[t.Sub(first)/step].add(s.Count) })
	return points
}

// Between returns the count of a time in the last eight days, in steps of ten minutes.
func (f *Figures) Between(from, until time.Time) Count {
	f.mu.Lock()
	defer f.mu.Unlock()
	var c Count
	each(f.tens[:], from, until, ten, func(_ time.Time, s *slot) { c.add(s.Count) })
	return c
}

// Ages returns how long it took from acceptance until an upstream had the mail, in the last span: half of the recipients had
// theirs within half, all but one in a hundred within most. ok is false when nothing was sent.
func (f *Figures) Ages(span time.Duration) (half, most time.Duration, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ring, step := f.ring(span)
	return quantiles(ring, f.now(), span, step)
}

// quantiles returns the ages of the slots of the last span that half and all but one in a hundred do not exceed.
func quantiles(ring []*slot, now time.Time, span, step time.Duration) (half, most time.Duration, ok bool) {
	var all ages
	each(ring, now.Add(-span), now.Add(step), step, func(_ time.Time, s *slot) { all.join(&s.ages) })
	if all.total() == 0 {
		return 0, 0, false
	}
	return all.quantile(.5), all.quantile(.99), true
}

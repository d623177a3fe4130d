package alert

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailhatch/gateway/journal"
)

// past is what the journal told. It is filled by those who handle mail.
type past struct {
	on       atomic.Bool // somebody wants to know
	mu       sync.Mutex
	now      func() time.Time
	since    time.Time            // from when on it is known
	sentAt   time.Time            // when mail was last sent
	accepted int                  // messages since then, or uncounted
	counts   []count              // of failed and internal_error, by the minute
	well     map[string]time.Time // when an upstream last took mail, or opened
}

const uncounted = -1

// count is how often something happened in a minute.
type count struct {
	Minute  time.Time `json:"minute"`
	Event   string    `json:"event"`
	Subject string    `json:"subject"` // the upstream, or the place of an internal error
	N       int       `json:"n"`
}

// hear takes in an event of the journal.
func (p *past) hear(e journal.Event) {
	if !p.on.Load() {
		return
	}
	if e.Canary { // it says nothing of the mail that programs send
		if e.Name == "sent" {
			p.opened(e.Upstream)
		}
		return
	}
	switch e.Name {
	case "accepted":
		p.mu.Lock()
		p.accepted++
		p.mu.Unlock()
	case "sent":
		now := p.now()
		p.mu.Lock()
		p.sentAt, p.accepted, p.well[e.Upstream] = now, 0, now
		p.mu.Unlock()
	case "upstream_opened":
		p.opened(e.Upstream)
	case "failed":
		p.add(Failed, e.Upstream, e.Recipients)
	case "internal_error":
		p.add(InternalError, e.Class, 1)
	}
}

// opened notes that an upstream works.
func (p *past) opened(upstream string) {
	now := p.now()
	p.mu.Lock()
	p.well[upstream] = now
	p.mu.Unlock()
}

// listen makes it take in what follows.
func (p *past) listen() {
	if p.on.Swap(true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		p.since = p.now()
	}
}

// deafen forgets what would be wrong once nobody has listened for a while.
func (p *past) deafen() {
	if !p.on.Swap(false) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since, p.sentAt, p.accepted, p.counts = time.Time{}, time.Time{}, 0, nil
	clear(p.well)
}

func (p *past) add(event, subject string, n int) {
	minute := p.now().Truncate(time.Minute)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.counts) - 1; i >= 0 && p.counts[i].Minute.Equal(minute); i-- {
		if c := &p.counts[i]; c.Event == event && c.Subject == subject {
			c.N += n
			return
		}
	}
	p.counts = append(p.counts, count{minute, event, subject, n})
}

// forget drops what no window reaches.
func (p *past) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = slices.DeleteFunc(p.counts, func(c count) bool { return now.Sub(c.Minute) > maxWindow+time.Minute })
}

// in returns how often an event happened in a window, with the subjects in words, and when it began.
func (p *past) in(event string, window time.Duration, now time.Time) (n int, of string, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	by := map[string]int{}
	for _, c := range p.counts {
		if c.Event != event || now.Sub(c.Minute.Add(time.Minute)) >= window {
			continue
		}
		if n == 0 {
			since = c.Minute
		}
		n += c.N
		by[c.Subject] += c.N
	}
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b)) })
	var list []string
	for _, name := range names[:min(len(names), 5)] {
		list = append(list, fmt.Sprintf("%s %d", cmp.Or(name, "no upstream"), by[name]))
	}
	return n, strings.Join(list, ", "), since
}

// quiet returns since when nothing was sent, and how many messages were accepted meanwhile.
func (p *past) quiet() (since time.Time, accepted int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sentAt.IsZero() {
		return p.since, p.accepted
	}
	return p.sentAt, p.accepted
}

// wellSince reports whether an upstream took mail, or opened, after t.
func (p *past) wellSince(upstream string, t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.well[upstream]
	return ok && at.After(t)
}

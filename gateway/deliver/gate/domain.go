package gate

import (
	"context"
	"errors"
	"time"

	"mailhatch/upstream"
)

// ErrDomainRate is why recipients wait whose domain gets mail at a rate.
var ErrDomainRate = errors.New("rate_per_domain is used up for now")

// domains gives the mail to each domain of recipients its turn. What has to wait gets a time of its own, so that a
// backlog comes back mail by mail and not all at once.
type domains struct {
	interval time.Duration // between two offers to one domain
	burst    time.Duration // how far ahead of its time an offer may be
	next     map[string]time.Time
	turns    map[string]time.Time // of offers that wait
	clean    int                  // entries from which on old ones are looked for
}

const (
	domainEntries = 1000      // fewer are not worth a look
	turnKept      = time.Hour // an offer that is that late does not come, or gets another turn
)

func newDomains(rate float64) *domains {
	interval := time.Duration(float64(time.Second) / rate)
	return &domains{interval: interval, burst: time.Duration(max(int(rate), 1)-1) * interval,
		next: map[string]time.Time{}, turns: map[string]time.Time{}, clean: domainEntries}
}

// DomainWait returns how long an offer to recipients of one domain has to wait; 0: it may go now. offer names
// it: when it comes again after that time, it may go.
func (g *Gate) DomainWait(domain, offer string) time.Duration {
	if g.domains == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.domains.wait(domain, domain+" "+offer, time.Now())
}

func (d *domains) wait(domain, offer string, now time.Time) time.Duration {
	if turn, ok := d.turns[offer]; ok && now.Sub(turn) < turnKept {
		if wait := turn.Sub(now); wait > 0 {
			return wait
		}
		delete(d.turns, offer)
		return 0
	}
	d.forget(now)
	turn := d.next[domain]
	if turn.Before(now) {
		turn = now
	}
	d.next[domain] = turn.Add(d.interval)
	if wait := turn.Sub(now) - d.burst; wait > 0 {
		d.turns[offer] = now.Add(wait)
		return wait
	}
	return 0
}

// forget drops what no longer matters, once in a while.
func (d *domains) forget(now time.Time) {
	if len(d.next)+len(d.turns) < d.clean {
		return
	}
	for domain, next := range d.next {
		if next.Before(now) {
			delete(d.next, domain)
		}
	}
	for offer, turn := range d.turns {
		if now.Sub(turn) >= turnKept {
			delete(d.turns, offer)
		}
	}
	d.clean = max(domainEntries, 2*(len(d.next)+len(d.turns)))
}

// AwaitDomains waits until an offer may go to all these domains, but not beyond the deadline of ctx.
func (g *Gate) AwaitDomains(ctx context.Context, domains []string, offer string) error {
	for {
		var longest time.Duration
		for _, domain := range domains {
			longest = max(longest, g.DomainWait(domain, offer))
		}
		if longest == 0 {
			return nil
		}
		deadline, limited := ctx.Deadline()
		if limited && time.Until(deadline) < longest {
			break
		}
		select {
		case <-time.After(longest):
		case <-ctx.Done():
			return &upstream.Error{Class: upstream.Throttled, Err: ErrDomainRate}
		}
	}
	return &upstream.Error{Class: upstream.Throttled, Err: ErrDomainRate}
}

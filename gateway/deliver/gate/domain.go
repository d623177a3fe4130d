package gate

import (
	"context"
	"errors"
	"sync"
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

	mu    sync.Mutex
	next  map[string]time.Time
	clean int // entries from which on old ones are looked for
}

const (
	domainEntries = 1000            // fewer are not worth a look
	domainRetry   = 5 * time.Second // after nobody could say whose turn it is
)

func newDomains(rate float64) *domains {
	interval := time.Duration(float64(time.Second) / rate)
	return &domains{interval: interval, burst: time.Duration(max(int(rate), 1)-1) * interval, next: map[string]time.Time{}, clean: domainEntries}
}

// take takes the next turn of a domain and returns how long it has to wait.
func (d *domains) take(domain string, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(now)
	turn := d.next[domain]
	if turn.Before(now) {
		turn = now
	}
	d.next[domain] = turn.Add(d.interval)
	return max(0, turn.Sub(now)-d.burst)
}

// forget drops what no longer matters, once in a while.
func (d *domains) forget(now time.Time) {
	if len(d.next) < d.clean {
		return
	}
	for domain, next := range d.next {
		if next.Before(now) {
			delete(d.next, domain)
		}
	}
	d.clean = max(domainEntries, 2*len(d.next))
}

// DomainTurn takes the next turn of the recipients of a domain and returns how long it has to wait. ok is false where it cannot
// be had: then it is to be asked for again after wait.
func (g *Gate) DomainTurn(ctx context.Context, domain string) (wait time.Duration, ok bool) {
	if g.settings.RatePerDomain == 0 {
		return 0, true
	}
	wait, err := g.limits.DomainTurn(ctx, domain)
	if err != nil {
		return domainRetry, false
	}
	return wait, true
}

// AwaitDomains waits until an offer may go to all these domains, but not beyond the deadline of ctx.
func (g *Gate) AwaitDomains(ctx context.Context, domains []string) error {
	var longest time.Duration
	taken := true
	for _, domain := range domains {
		wait, ok := g.DomainTurn(ctx, domain)
		longest, taken = max(longest, wait), taken && ok
	}
	if deadline, limited := ctx.Deadline(); !taken || limited && time.Until(deadline) < longest {
		return &upstream.Error{Class: upstream.Throttled, Err: ErrDomainRate}
	}
	if longest == 0 {
		return nil
	}
	select {
	case <-time.After(longest):
		return nil
	case <-ctx.Done():
		return &upstream.Error{Class: upstream.Throttled, Err: ErrDomainRate}
	}
}

package fleet

import (
	"context"
	"sync"
	"time"

	"mailhatch/gateway/deliver"
	"mailhatch/gateway/queue"
)

// domains gives the recipients of each domain the turns that all gateways together have at an upstream. The store keeps a turn
// for no longer than it matters.
type domains struct {
	store    queue.Fleet
	upstream string
	rate     float64 // offers a second to one domain
	batch    int     // turns that are taken at once

	mu   sync.Mutex
	left map[string]turns // where more than one is taken at once
}

// turns are taken and not used.
type turns struct {
	n  int
	at time.Time
}

// domainEntries is how many domains with turns that are left are not worth a look whether they are still good.
const domainEntries = 1000

func newDomains(store queue.Fleet, u *deliver.Upstream) *domains {
	return &domains{store: store, upstream: u.Name, rate: u.RatePerDomain, batch: max(1, int(u.RatePerDomain*turnsTime.Seconds())), left: map[string]turns{}}
}

// DomainTurn implements gate.Limits.
func (l *limits) DomainTurn(ctx context.Context, domain string) (time.Duration, error) {
	if l.domains == nil {
		return 0, nil
	}
	return l.domains.take(ctx, domain)
}

func (d *domains) take(ctx context.Context, domain string) (time.Duration, error) {
	if wait, ok := d.takeLeft(domain); ok {
		return wait, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	wait, err := d.store.Take(ctx, d.upstream+" "+domain, d.rate, d.batch)
	if err == nil && d.batch > 1 {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.forget()
		d.left[domain] = turns{d.batch - 1, time.Now().Add(wait)}
	}
	return wait, err
}

// takeLeft takes a turn of those that were taken before.
func (d *domains) takeLeft(domain string) (wait time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.left[domain]
	wait = time.Until(t.at)
	if t.n == 0 || wait < -turnKept {
		delete(d.left, domain)
		return 0, false
	}
	t.n--
	d.left[domain] = t
	return max(0, wait), true
}

// forget drops what can no longer be used, where it is much. d.mu is held.
func (d *domains) forget() {
	if len(d.left) < domainEntries {
		return
	}
	for domain, t := range d.left {
		if t.n == 0 || time.Since(t.at) > turnKept {
			delete(d.left, domain)
		}
	}
}

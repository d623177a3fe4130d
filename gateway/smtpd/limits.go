package smtpd

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxTracked is how many clients are remembered before those at rest are forgotten.
const maxTracked = 10_000

// rateLimiter limits how often each client does something.
type rateLimiter struct {
	most int // in per, all of them at once if the client likes
	per  time.Duration

	mu      sync.Mutex
	clients map[client]*rate.Limiter
}

func newRateLimiter(most int, per time.Duration) *rateLimiter {
	return &rateLimiter{most: most, per: per, clients: map[client]*rate.Limiter{}}
}

// allow reports whether this client may do it once more now, and counts it.
func (t *rateLimiter) allow(c client) bool {
	if t.most <= 0 {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.clients[c]
	if l == nil {
		if len(t.clients) >= maxTracked {
			t.forget()
		}
		l = rate.NewLimiter(rate.Limit(float64(t.most)/t.per.Seconds()), t.most)
		t.clients[c] = l
	}
	return l.Allow()
}

// exhausted reports whether this client may not do it now.
func (t *rateLimiter) exhausted(c client) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.clients[c]
	return l != nil && l.Tokens() < 1
}

// forget drops clients that may do all they want again; when none is at rest, all of them.
func (t *rateLimiter) forget() {
	for c, l := range t.clients {
		if l.Tokens() >= float64(t.most) {
			delete(t.clients, c)
		}
	}
	if len(t.clients) >= maxTracked {
		clear(t.clients)
	}
}

// client is who limits count: a user, else an address.
type client struct {
	user string
	net  netip.Prefix
}

func (f *front) client() client {
	if f.user != "" || !f.peer.IsValid() {
		return client{user: f.user}
	}
	return client{net: countedAs(f.peer)}
}

// countedAs is the network that counts as one client.
func countedAs(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

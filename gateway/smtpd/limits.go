package smtpd

import (
	"net/netip"
	"sync"
	"sync/atomic"
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
	clients map[string]*rate.Limiter
}

func newRateLimiter(most int, per time.Duration) *rateLimiter {
	return &rateLimiter{most: most, per: per, clients: map[string]*rate.Limiter{}}
}

// allow reports whether this client may do it once more now, and counts it.
func (t *rateLimiter) allow(client string) bool {
	if t.most <= 0 {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.clients[client]
	if l == nil {
		if len(t.clients) >= maxTracked {
			t.forget()
		}
		l = rate.NewLimiter(rate.Limit(float64(t.most)/t.per.Seconds()), t.most)
		t.clients[client] = l
	}
	return l.Allow()
}

// exhausted reports whether this client may not do it now.
func (t *rateLimiter) exhausted(client string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.clients[client]
	return l != nil && l.Tokens() < 1
}

// forget drops clients that may do all they want again; when none is at rest, all of them.
func (t *rateLimiter) forget() {
	for client, l := range t.clients {
		if l.Tokens() >= float64(t.most) {
			delete(t.clients, client)
		}
	}
	if len(t.clients) >= maxTracked {
		clear(t.clients)
	}
}

// sender names a client for its rateLimiter: by user, else by address.
func (f *front) sender() string {
	if f.user != "" || !f.peer.IsValid() {
		return "user " + f.user
	}
	return countedAs(f.peer).String()
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

// Budget is a number of bytes that sessions share.
type Budget struct {
	max  atomic.Int64
	used atomic.Int64
}

// NewBudget returns a budget of that many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.Resize(bytes)
	return b
}

// Resize makes it a budget of that many bytes; what is taken stays taken.
func (b *Budget) Resize(bytes int64) { b.max.Store(bytes) }

// take reserves n bytes, if they are free.
func (b *Budget) take(n int64) bool {
	if b == nil {
		return true
	}
	if b.used.Add(n) > b.max.Load() {
		b.used.Add(-n)
		return false
	}
	return true
}

// fits reports whether n more bytes could be taken now. What is more than the whole budget is judged
// as the whole of it.
func (b *Budget) fits(n int64) bool {
	return b == nil || b.used.Load()+min(n, b.max.Load()) <= b.max.Load()
}

func (b *Budget) give(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}

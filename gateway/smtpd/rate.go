package smtpd

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxTracked is how many clients are remembered before those at rest are forgotten.
const maxTracked = 10_000

// tempo limits how often each client does something.
type tempo struct {
	most int // in per, all of them at once if the client likes
	per  time.Duration

	mu      sync.Mutex
	clients map[string]*rate.Limiter
}

func newTempo(most int, per time.Duration) *tempo {
	return &tempo{most: most, per: per, clients: map[string]*rate.Limiter{}}
}

// allow tells whether this client may do it once more now, and counts it.
func (t *tempo) allow(client string) bool {
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

// spent tells whether this client may not do it now.
func (t *tempo) spent(client string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.clients[client]
	return l != nil && l.Tokens() < 1
}

// forget drops clients that may do all they want again; when none is at rest, all of them.
func (t *tempo) forget() {
	for client, l := range t.clients {
		if l.Tokens() >= float64(t.most) {
			delete(t.clients, client)
		}
	}
	if len(t.clients) >= maxTracked {
		clear(t.clients)
	}
}

// sender names a client for its tempo: by user, else by address.
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

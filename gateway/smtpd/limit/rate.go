package limit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxTracked is how many clients are remembered before those at rest are forgotten.
const maxTracked = 10_000

// Rate limits how often each client does something.
type Rate struct {
	most int // in per, all of them at once if the client likes
	per  time.Duration

	mu      sync.Mutex
	clients map[Client]*rate.Limiter
}

// NewRate returns a limit of that many times in per for each client; none if most is 0 or less.
func NewRate(most int, per time.Duration) *Rate {
	return &Rate{most: most, per: per, clients: map[Client]*rate.Limiter{}}
}

// Allow reports whether this client may do it once more now, and counts it.
func (r *Rate) Allow(c Client) bool {
	if r.most <= 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.clients[c]
	if l == nil {
		if len(r.clients) >= maxTracked {
			r.forget()
		}
		l = rate.NewLimiter(rate.Limit(float64(r.most)/r.per.Seconds()), r.most)
		r.clients[c] = l
	}
	return l.Allow()
}

// forget drops clients that may do all they want again; when none is at rest, all of them.
func (r *Rate) forget() {
	for c, l := range r.clients {
		if l.Tokens() >= float64(r.most) {
			delete(r.clients, c)
		}
	}
	if len(r.clients) >= maxTracked {
		clear(r.clients)
	}
}

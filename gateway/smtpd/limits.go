package smtpd

import (
	"cmp"
	"net/netip"
	"slices"
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

// shareFactor times what is free is what one client may hold with several messages at once. It leaves
// a fifth of the budget to others where one client sends, a ninth where two do.
const shareFactor = 4

// Budget is a number of bytes that the messages of all sessions share while they are being received. One
// client cannot hold all of it, and messages that come slowly give way when others need the room.
type Budget struct {
	mu      sync.Mutex
	max     int64
	used    int64
	clients map[client]int64 // what each of them holds
	holds   map[*hold]struct{}
}

// hold is what one message takes of a budget.
type hold struct {
	front  *front
	client client
	taken  int64 // guarded by Budget.mu
}

// NewBudget returns a budget of that many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{max: bytes, clients: map[client]int64{}, holds: map[*hold]struct{}{}}
}

// Resize makes it a budget of that many bytes; what is taken stays taken.
func (b *Budget) Resize(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.max = bytes
}

// take reserves n more bytes for a message, if there is room or can be.
func (b *Budget) take(h *hold, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.makeRoom(h, n) {
		return false
	}
	b.holds[h] = struct{}{}
	h.taken += n
	b.used += n
	b.clients[h.client] += n
	return true
}

// fits reports whether a client could take n bytes for a new message now. What is more than the whole
// budget is judged as the whole of it.
func (b *Budget) fits(c client, n int64) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.makeRoom(&hold{client: c}, min(n, b.max))
}

// give returns all that a message holds.
func (b *Budget) give(h *hold) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(h)
}

func (b *Budget) forget(h *hold) {
	delete(b.holds, h)
	b.used -= h.taken
	if b.clients[h.client] -= h.taken; b.clients[h.client] == 0 {
		delete(b.clients, h.client)
	}
	h.taken = 0
}

// room reports whether n bytes are free and do not exceed the client's share. Of used, its client's
// messages hold ofClient. A client may fill what is free with one message.
func (b *Budget) room(h *hold, n, used, ofClient int64) bool {
	free := b.max - used - n
	return free >= 0 && (ofClient == h.taken || ofClient+n <= shareFactor*free)
}

// makeRoom finds room for n more bytes of a message. When there is none, the messages that hold most
// for their pace are cut, those of strangers first, unless even that would not be enough.
func (b *Budget) makeRoom(h *hold, n int64) bool {
	used, ofClient := b.used, b.clients[h.client]
	if b.room(h, n, used, ofClient) {
		return true
	}
	slow := b.slow(h)
	for i, s := range slow {
		used -= s.taken
		if s.client == h.client {
			ofClient -= s.taken
		}
		if !b.room(h, n, used, ofClient) {
			continue
		}
		for _, s := range slow[:i+1] {
			if s.front.giveWay() { // else it has begun to move
				b.forget(s.hold)
			}
		}
		return b.room(h, n, b.used, b.clients[h.client])
	}
	return false
}

// slowHold is a message that may be cut.
type slowHold struct {
	*hold
	stranger bool
	cost     time.Duration // how long its client would take to send again what it holds
}

// slow returns the messages other than h that may be cut, the first to go first.
func (b *Budget) slow(h *hold) []slowHold {
	now := time.Now()
	var list []slowHold
	for other := range b.holds {
		if other == h {
			continue
		}
		if cost, stranger := other.front.cost(now, other.taken); cost > 0 {
			list = append(list, slowHold{other, stranger, cost})
		}
	}
	slices.SortFunc(list, func(x, y slowHold) int {
		switch {
		case x.stranger == y.stranger:
			return cmp.Compare(y.cost, x.cost)
		case x.stranger:
			return -1
		}
		return 1
	})
	return list
}

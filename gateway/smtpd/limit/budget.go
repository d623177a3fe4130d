package limit

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// shareFactor times what is free is what one client may hold with several messages at once. It leaves
// a fifth of the budget to others where one client sends, a ninth where two do.
const shareFactor = 4

// Budget is a number of bytes that the messages of all sessions share while they are being received. One
// client cannot hold all of it, and messages that come slowly give way when others need the room.
type Budget struct {
	mu      sync.Mutex
	max     int64
	used    int64
	clients map[Client]int64 // what each of them holds
	holds   map[*Hold]struct{}
}

// Hold is what one message takes of a budget.
type Hold struct {
	conn   *Conn
	client Client
	taken  int64 // guarded by Budget.mu
}

// NewHold returns the hold of a message that comes over conn; nothing is taken yet.
func NewHold(conn *Conn, client Client) Hold { return Hold{conn: conn, client: client} }

// NewBudget returns a budget of that many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{max: bytes, clients: map[Client]int64{}, holds: map[*Hold]struct{}{}}
}

// Resize makes it a budget of that many bytes; what is taken stays taken.
func (b *Budget) Resize(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.max = bytes
}

// Take reserves n more bytes for a message, if there is room or can be.
func (b *Budget) Take(h *Hold, n int64) bool {
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

// Fits reports whether a client could take n bytes for a new message now. What is more than the whole
// budget is judged as the whole of it. A nil
// budget has room for everything.
func (b *Budget) Fits(c Client, n int64) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.makeRoom(&Hold{client: c}, min(n, b.max))
}

// Give returns all that a message holds. A nil budget has nothing to take back.
func (b *Budget) Give(h *Hold) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(h)
}

func (b *Budget) forget(h *Hold) {
	delete(b.holds, h)
	b.used -= h.taken
	if b.clients[h.client] -= h.taken; b.clients[h.client] == 0 {
		delete(b.clients, h.client)
	}
	h.taken = 0
}

// room reports whether n bytes are free and do not exceed the client's share. Of used, its client's
// messages hold ofClient. A client may fill what is free with one message.
func (b *Budget) room(h *Hold, n, used, ofClient int64) bool {
	free := b.max - used - n
	return free >= 0 && (ofClient == h.taken || ofClient+n <= shareFactor*free)
}

// makeRoom finds room for n more bytes of a message. When there is none, the messages that hold most
// for their pace are cut, those of strangers first, unless even that would not be enough.
func (b *Budget) makeRoom(h *Hold, n int64) bool {
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
			if s.conn.giveWay() { // else it has begun to move
				b.forget(s.Hold)
			}
		}
		return b.room(h, n, b.used, b.clients[h.client])
	}
	return false
}

// slowHold is a message that may be cut.
type slowHold struct {
	*Hold
	stranger bool
	cost     time.Duration // how long its client would take to send again what it holds
}

// slow returns the messages other than h that may be cut, the first to go first.
func (b *Budget) slow(h *Hold) []slowHold {
	now := time.Now()
	var list []slowHold
	for other := range b.holds {
		if other == h {
			continue
		}
		if cost, stranger := other.conn.cost(now, other.taken); cost > 0 {
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

package journal

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Recent keeps the last events in memory, for those who watch the gateway. What goes well is kept only while somebody
// does, so that mail pays nothing for it.
type Recent struct {
	watched atomic.Int64 // until then, in nanoseconds since 1970

	mu   sync.Mutex
	ring [recentEvents]Happened
	next int // place in ring
}

// Happened is an event and when it was.
type Happened struct {
	At time.Time
	Event
}

const (
	recentEvents = 100
	watchTime    = time.Minute // after who watches has asked
)

// Hear is a listener of the journal.
func (r *Recent) Hear(e Event) {
	watched := r.watched.Load()
	if watched == 0 && (e.Name == "accepted" || e.Name == "sent") {
		return
	}
	now := time.Now()
	if (e.Name == "accepted" || e.Name == "sent") && now.UnixNano() > watched {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.next] = Happened{now, e}
	r.next = (r.next + 1) % recentEvents
}

// Last returns the last events, the newest last.
func (r *Recent) Last() []Happened {
	r.watched.Store(time.Now().Add(watchTime).UnixNano())
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.Concat(r.ring[r.next:], r.ring[:r.next])
	return slices.DeleteFunc(list, func(h Happened) bool { return h.At.IsZero() })
}

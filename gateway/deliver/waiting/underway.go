package waiting

import (
	"sync"
	"time"

	"mailhatch/gateway/envelope"
)

// UnderWay are the parts that are being offered. The zero value is ready; its methods may be called at once from many
// goroutines.
type UnderWay struct {
	mu     sync.Mutex
	offers map[*underWay]struct{}
}

type underWay struct {
	id    string
	to    []envelope.Recipient
	since time.Time
}

// Begin adds an offer of a message until the function that it returns is called.
func (u *UnderWay) Begin(id string, to []envelope.Recipient, since time.Time) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.offers == nil {
		u.offers = map[*underWay]struct{}{}
	}
	o := &underWay{id, to, since}
	u.offers[o] = struct{}{}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.offers, o)
	}
}

// List returns since when parts are being offered, for View.UnderWay.
func (u *UnderWay) List() map[Key]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make(map[Key]time.Time, len(u.offers))
	for o := range u.offers {
		for _, to := range o.to {
			list[Key{o.id, to.Address}] = o.since
		}
	}
	return list
}

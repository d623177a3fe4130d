package queue

import (
	"context"
	"errors"
	"time"
)

// Quotas counts the recipients that upstreams take, or may have taken, over restarts and for all processes that share
// the store. A recipient of a message is counted once at an upstream, before it is offered, until it is settled: another
// offer of it meanwhile costs nothing.
type Quotas interface {
	// Take counts the recipients of an offer, from the first on, for which there is room in all windows. Where some were
	// counted before and are not settled, these are granted and no others: an offer that is repeated has to be the same.
	Take(ctx context.Context, o Offer) (Grant, error)
	// Settle ends offers that were made without a lease; those of a lease are settled by Result.Quota.
	Settle(ctx context.Context, s Settlement) error
	// Unsettled returns the recipients of a message that are counted at an upstream and not settled.
	Unsettled(ctx context.Context, upstream, id string) ([]string, error)
	// Used returns how many recipients an upstream has taken in each window.
	Used(ctx context.Context, upstream string, windows []Window) ([]int, error)
	// Counting names the upstreams to which this process makes no offer without Take, and returns those that were named
	// before; where processes share the store, those that all of them named. What a process that is dead has left
	// uncounted at one of these, it has not offered.
	Counting(ctx context.Context, upstreams []string) (before []string, err error)
}

// Quarter is what the bounds of windows are multiples of: all zones differ by such.
const Quarter = 15 * time.Minute

// Window is a time in which an upstream takes so many recipients.
type Window struct {
	From, Until time.Time
	Count       int
}

// Offer is a message on its way to recipients by an upstream.
type Offer struct {
	Upstream string
	ID       string // of the message, which may be a draft
	To       []string
	At       time.Time // in all windows
	Windows  []Window  // at least one
}

// Check returns why an offer cannot be counted.
func (o *Offer) Check() error {
	if len(o.Windows) == 0 {
		return errors.New("queue: an offer that is counted needs a window")
	}
	for _, w := range o.Windows {
		if o.At.Before(w.From) || !o.At.Before(w.Until) {
			return errors.New("queue: an offer has to lie in all of its windows")
		}
	}
	return nil
}

// Room returns how many more recipients the windows have room for.
func (o *Offer) Room(used []int) int {
	room := len(o.To)
	for i, w := range o.Windows {
		room = min(room, w.Count-used[i])
	}
	return max(room, 0)
}

// Grant is what may be offered.
type Grant struct {
	To    []string // in the order of the offer
	Again bool     // they had been counted before
	Used  []int    // of each window, with them
}

// Settlement is what became of counted recipients. Who is not in it may have been taken: the offer can be repeated.
type Settlement struct {
	Upstream string
	ID       string
	Taken    []string // they stay counted
	Back     []string // they were not taken and do not count
}

// IsEmpty reports whether there is nothing to settle.
func (s *Settlement) IsEmpty() bool { return len(s.Taken)+len(s.Back) == 0 }

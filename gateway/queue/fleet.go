package queue

import (
	"context"
	"time"
)

// Fleet is what gateways that share a store keep there for each other: which of them live, what upstreams still take from
// all of them together, what each has found out. Its clock is that of the store. A name says what is counted or locked; a
// gateway asks as the one that Settings.Gateway names.
//
// After an error nobody knows whether the store was changed, and nothing may be offered that it had to allow.
type Fleet interface {
	// Beat says that this gateway lives.
	Beat(ctx context.Context, g Gateway) error
	// Gateways returns all that did so within GatewayKept, by name.
	Gateways(ctx context.Context) ([]Gateway, error)
	// Leave ends that in good order: its places and locks are free, and it is listed no more.
	Leave(ctx context.Context) error

	// Take takes n turns of a rate and returns how long the first of them has to wait; the others follow at the rate. Turns
	// that nobody took within the last second are not lost: so many can be taken at once.
	Take(ctx context.Context, name string, perSecond float64, n int) (wait time.Duration, err error)

	// Occupy says how many of the limit's places this gateway wants and how many of those that it has are in use, and
	// returns how many it has from now on: never fewer than are in use. All that it has together are no more than
	// limit, and where gateways want more than there are, each gets its share. A gateway has its places
	// for as long as it lives: until Leave, or until it has not called Beat for Settings.Lease.
	Occupy(ctx context.Context, name string, limit, want, used int) (have int, err error)

	// Count adds n to a count, which starts anew once window is over since its first, and returns it and when that
	// will be. With n = 0 it only asks.
	Count(ctx context.Context, name string, n int, window time.Duration) (count int, end time.Time, err error)

	// Lock reports whether this gateway has a lock: it was free, or this gateway's already. It is free again after d, or
	// after Unlock.
	Lock(ctx context.Context, name string, d time.Duration) (bool, error)
	Unlock(ctx context.Context, name string) error

	// Put leaves a note for all gateways in place of an earlier one of that name; no value: it is taken away.
	Put(ctx context.Context, name string, value []byte) error
	// Replace is a Put in place of the note of that version, 0 for none, and returns the new version. Where there is another
	// note by then it changes nothing and returns 0.
	Replace(ctx context.Context, name string, value []byte, version int64) (now int64, err error)
	// Notes returns the notes whose names begin with prefix, by name.
	Notes(ctx context.Context, prefix string) ([]Note, error)

	// Heard has a token after an operator has paused or resumed a lane at any gateway, where the store can say so at once. It
	// may miss some, and there may be nothing to hear: who wants to know asks now and then all the same.
	Heard() <-chan struct{}
}

// GatewayKept is how long a gateway is listed that has not left and gives no sign of life.
const GatewayKept = 24 * time.Hour

// Gateway is one of those that share a store.
type Gateway struct {
	Name    string    `json:"name"` // Beat fills it in
	Version string    `json:"version"`
	Since   time.Time `json:"since"`          // its start
	Seen    time.Time `json:"seen"`           // its last sign of life; Beat fills it in
	Alive   bool      `json:"alive"`          // that was within Settings.Lease; Beat fills it in
	Lanes   []string  `json:"lanes"`          // that it delivers
	Note    string    `json:"note,omitempty"` // what its operator should know, in words
}

// Note is what a gateway has left for the others.
type Note struct {
	Name    string
	Value   []byte
	By      string // the gateway
	At      time.Time
	Version int64 // more with each Put of this name
}

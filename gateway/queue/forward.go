package queue

import "context"

// Forwards keeps what providers tell for those who are handed all of it, in the write that takes it in, until they have it:
// over restarts, and once for all processes that share the store.
type Forwards interface {
	// Forward names who is handed what is told from now on. What waits for others stays for ForwardMost of them, in case that
	// they come back.
	Forward(receivers []string)
	// Outgoing returns what waits for a receiver, the oldest first. In a store that others share, nobody else gets it for
	// ForwardLease.
	Outgoing(ctx context.Context, receiver string, most int) ([]Outgoing, error)
	// HandedOver removes what a receiver has.
	HandedOver(ctx context.Context, keys ...int64) error
}

// Bounds of what waits for receivers.
const (
	ForwardMost  = 1_000_000 // beyond it the oldest goes with Prune
	ForwardLease = 60        // seconds
)

// Outgoing is something that was told and waits for a receiver.
type Outgoing struct {
	Key int64 // names it, the same for as long as it waits
	Joined
}

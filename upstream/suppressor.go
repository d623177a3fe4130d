package upstream

import (
	"context"
	"time"
)

// Suppressor is implemented by upstreams whose provider keeps a list of addresses that it sends nothing to, and shows and
// changes it by API. Errors are as those of Feedback.Poll.
type Suppressor interface {
	// Suppressed returns a page of the provider's lists, and what asks for the next page; "" after the last.
	Suppressed(ctx context.Context, after string) (list []SuppressedAddress, next string, err error)
	// Unsuppress takes an address off all of these lists. An address that is on none of them is not an error.
	Unsuppress(ctx context.Context, address string) error
}

// SuppressedAddress is an entry of a provider's list.
type SuppressedAddress struct {
	Address string
	Kind    EventKind // Bounced, Complained, Unsubscribed; Suppressed where the provider gives no reason
	At      time.Time // since when; zero where it is not known
	Words   string    // the provider's, on one line; may be empty
}

// SuppressorOf returns the lists of the provider of an upstream; nil where it shows none.
func SuppressorOf(u Upstream) Suppressor {
	if s, ok := u.(Suppressor); ok {
		return s
	}
	if l, ok := u.(interface{ Suppressor() Suppressor }); ok {
		return l.Suppressor()
	}
	return nil
}

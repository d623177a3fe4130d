package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailhatch/upstream"
)

var errLimitUsedUp = errors.New("the provider's rate limit is used up for now")

// Refusal returns why nothing may be offered now; nil when it may.
func (g *Gate) Refusal() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.pause != nil:
		return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("%w: an operator has paused it", ErrClosed)} // senders may read it
	case g.state != Closed:
		return nil
	}
	return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("%w (%s): %w", ErrClosed, g.reason, g.lastErr)}
}

// Admit waits until the rate allows one more offer, but not beyond the deadline of ctx.
func (g *Gate) Admit(ctx context.Context) error {
	if err := g.Refusal(); err != nil {
		return err
	}
	if !g.awaitQuiet(ctx) {
		return &upstream.Error{Class: upstream.Throttled, Err: errLimitUsedUp}
	}
	if err := g.limits.Wait(ctx); err != nil {
		return &upstream.Error{Class: upstream.Throttled, Err: fmt.Errorf("%w, up to its rate: %w", ErrBusy, err)}
	}
	return g.Refusal() // it may have closed meanwhile
}

// Tokens returns how many offers the limits allow now, at most want, waiting for the first; Spend
// takes them.
func (g *Gate) Tokens(ctx context.Context, want int) int {
	if !g.awaitQuiet(ctx) {
		return 0
	}
	return g.limits.Tokens(ctx, want)
}

// Spend takes n tokens.
func (g *Gate) Spend(ctx context.Context, n int) { g.limits.Spend(ctx, n) }

// awaitQuiet waits for the end of a pause and reports whether ctx still holds.
func (g *Gate) awaitQuiet(ctx context.Context) bool {
	for {
		g.mu.Lock()
		wait := time.Until(g.quiet)
		g.mu.Unlock()
		if wait <= 0 {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}

package deliver

import (
	"context"
	"errors"
	"time"

	"mailhatch/upstream"
)

// pauseMax is the rate limit's window up to which a gate stays open.
const pauseMax = 10 * time.Second

var errLimitUsedUp = errors.New("the provider's rate limit is used up for now")

// pause holds further mail back where a provider said with its success that its rate limit is used
// up. That is no trouble and happens every second where limits are counted so; a long one closes.
func (g *gate) pause(outcomes []upstream.Outcome) {
	for _, o := range outcomes {
		if o.Pause > pauseMax {
			g.close(throttled, errLimitUsedUp, o.Pause)
		} else if o.Pause > 0 {
			g.mu.Lock()
			g.quiet = time.Now().Add(o.Pause)
			g.mu.Unlock()
		}
	}
}

// awaitQuiet waits for the end of a pause and says whether ctx still holds.
func (g *gate) awaitQuiet(ctx context.Context) bool {
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

package gateway

import (
	"context"
	"time"
)

// notified logs that the service manager could not be notified; mail goes on.
func (g *Gateway) notified(err error) {
	if err != nil {
		g.journal.InternalError("notify", err)
	}
}

// keepAlive pings the watchdog until ctx ends, twice in each interval, then reports that the
// end has begun. Each sign is given only after the queue has answered: a gateway that can keep no
// mail is to be started anew.
func (g *Gateway) keepAlive(ctx context.Context) error {
	var due <-chan time.Time // never, when no signs are wanted
	if every := g.notifier.Watchdog() / 2; every > 0 {
		tick := time.NewTicker(every)
		defer tick.Stop()
		due = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			g.notified(g.notifier.Stopping())
			return nil
		case <-due:
		}
		if _, err := g.queue.Stats(ctx); err == nil {
			g.notified(g.notifier.Alive())
		} else if ctx.Err() == nil {
			g.journal.InternalError("queue", err)
		}
	}
}

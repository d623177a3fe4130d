package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/systemd"
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
		if err := g.asked(ctx); err == nil {
			g.notified(g.notifier.Alive())
		} else if ctx.Err() == nil {
			g.journal.InternalError("queue", err)
		}
	}
}

// asked returns why the queue does not answer. A database that is away does not come back by a restart of its clients, and one
// that hangs is not waited for.
func (g *Gateway) asked(ctx context.Context) error {
	if g.storeAway() != nil {
		return nil
	}
	_, err := g.queue.Stats(ctx)
	if errors.Is(err, queue.ErrAway) {
		return nil
	}
	return err
}

// statusEvery is how often the service manager is told how the gateway is, if that has changed.
const statusEvery = 5 * time.Second

// tellStatus keeps the service manager's line about the gateway (systemctl status) true until ctx ends.
func (g *Gateway) tellStatus(ctx context.Context, manager systemd.Notifier, every time.Duration) error {
	if !manager.Listens() {
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	told := ""
	for {
		line := g.whileAway()
		if line == "" {
			if depths, err := g.queue.Stats(ctx); err == nil { // keepAlive reports what is wrong with it
				line = statusLine(depths, g.deliverer.Status(), g.endpoints.Waiting())
			}
		}
		if line != "" && line != told {
			g.notified(manager.Status(line))
			told = line
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// statusLine says what is in the queue, which upstreams are closed and which listeners wait for their address.
func statusLine(depths map[envelope.State]queue.Depth, upstreams []gate.Status, waiting []string) string {
	var counts []string
	for _, state := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed} {
		if n := depths[state].Parts; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, state))
		}
	}
	line := "queue: empty"
	if counts != nil {
		line = "queue: " + strings.Join(counts, ", ")
	}
	for _, u := range upstreams {
		switch {
		case u.State == "closed":
			line += fmt.Sprintf("; upstream %s is closed (%s)", u.Name, u.Reason) // its provider's words may name somebody
		case len(u.Refused) > 0:
			line += fmt.Sprintf("; upstream %s refuses some senders", u.Name)
		}
	}
	for _, w := range waiting {
		line += "; " + w
	}
	return line
}

package gateway

import (
	"context"
	"errors"
	"time"

	"mailhatch/gateway/maildrop"
)

const (
	pickUpEvery = 2 * time.Second  // how often the maildrop is looked at
	pickUpPause = 30 * time.Second // after a failure
)

// pickUp accepts the mail that local programs left in the maildrop while the gateway was down.
func (g *Gateway) pickUp(ctx context.Context) error {
	box, err := maildrop.Open(g.current.Load().StateDir)
	if err != nil {
		if !errors.Is(err, maildrop.ErrUnsupported) {
			g.journal.InternalError("maildrop", err)
		}
		return nil
	}
	report := func(err error) { g.journal.InternalError("maildrop", err) }
	for {
		wait := pickUpEvery
		l := g.current.Load().SubmitListener()
		limits := maildrop.Limits{Size: int64(l.MaxMessage), Recipients: l.MaxRecipients}
		if err := box.Each(ctx, limits, func(d *maildrop.Drop) error { return g.accept.Drop(ctx, d) }, report); err != nil {
			report(err)
			wait = pickUpPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// maildrop looks at what waits in the maildrop; on systems that have none nothing does.
func (g *Gateway) maildrop(most int) (*maildrop.Waiting, error) {
	return maildrop.Look(g.current.Load().StateDir, most)
}

package calls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
)

// Between two tries to reach a database.
const (
	reachSoon = 250 * time.Millisecond
	reachMost = 2 * time.Second
)

// Reach calls open until that lets calls begin: the database was out of reach. Whatever is wrong with it meanwhile, it tries
// again: mail may be waiting elsewhere. It reports whether calls may begin; false: ctx, or the store, is over.
func (c *Calls) Reach(ctx context.Context, over <-chan struct{}, log *slog.Logger, open func(context.Context) error) bool {
	ctx, stop := context.WithCancel(ctx)
	var ending sync.WaitGroup
	defer ending.Wait()
	defer stop()
	ending.Go(func() {
		select {
		case <-over:
			stop()
		case <-ctx.Done():
		}
	})
	told := ""
	for wait := reachSoon; c.Refused() != nil; wait = min(2*wait, reachMost) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		err := database.Describe(open(ctx))
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !errors.Is(err, queue.ErrAway) {
			if text := err.Error(); text != told {
				told = text
				log.Error("queue: the database cannot be used; trying again", "error", err)
			}
			err = fmt.Errorf("%w: %w", queue.ErrAway, err)
		}
		c.Refuse(err)
	}
	return ctx.Err() == nil
}

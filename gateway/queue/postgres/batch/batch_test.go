package batch

import (
	"context"
	"errors"
	"sync"
	"testing"

	"mailhatch/gateway/queue"
)

// TestGroups: what waits is written together, up to so many ops and bytes.
func TestGroups(t *testing.T) {
	b, over := New[int](4, 100), make(chan struct{})
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if err := b.Do(t.Context(), over, 10, 10); err != nil {
				t.Error(err)
			}
		})
	}
	all.Go(func() {
		if err := b.Do(t.Context(), over, 90, 90); err != nil {
			t.Error(err)
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx, over, func(group []*Op[int]) {
			bytes := 0
			for _, o := range group[:len(group)-1] { // the last one may go beyond
				bytes += o.Item
			}
			if len(group) > 4 || bytes >= 100 {
				t.Errorf("a group of %d", len(group))
			}
			Settle(group, nil)
		})
	}()
	all.Wait()
	stop()
	<-ended
}

// TestGivenUp: what no writer has taken is not written once its caller or the store is over; what one has taken is waited for.
func TestGivenUp(t *testing.T) {
	over := make(chan struct{})
	b := New[int](1, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if err := b.Do(ctx, over, 1, 1); !errors.Is(err, why) {
		t.Errorf("a caller that is over: %v", err)
	}
	for range waiting - 1 {
		b.ops <- &Op[int]{}
	}
	if err := b.Do(ctx, over, 1, 1); !errors.Is(err, why) {
		t.Errorf("a caller that is over, when many wait: %v", err)
	}
	waits := make(chan error, 1)
	full := New[int](1, 1)
	go func() { waits <- full.Do(t.Context(), over, 1, 1) }()
	taken := <-full.ops
	taken.taken.Store(true) // by a writer
	close(over)
	taken.Err = why
	close(taken.done)
	if err := <-waits; !errors.Is(err, why) {
		t.Errorf("what was taken when the store ended: %v", err)
	}
	if err := b.Do(t.Context(), over, 1, 1); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("a store that is over: %v", err)
	}
}

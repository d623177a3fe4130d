package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// testOneWinner lets many claim at once, with leases that end at once, and checks that exactly one
// Finish of each part succeeds.
func testOneWinner(t *testing.T, h *house) {
	const parts, claimers = 40, 8
	for range parts {
		h.add("bob@example.org")
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	won := map[string]int{}
	for range claimers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				leases, err := h.q.Claim(context.Background(), lane, 5, time.Nanosecond)
				if err != nil || len(leases) == 0 {
					if err != nil {
						t.Errorf("Claim: %v", err)
					}
					return
				}
				for _, l := range leases {
					err := l.Finish(context.Background(), sent(l))
					if err == nil {
						mu.Lock()
						won[l.Message().ID]++
						mu.Unlock()
					} else if !errors.Is(err, queue.ErrFenced) {
						t.Errorf("Finish: %v", err)
					}
				}
			}
		}()
	}
	wg.Wait()
	for id, n := range won {
		if n != 1 {
			t.Errorf("%d finished %s", n, id)
		}
	}
	if records := h.history(queue.HistoryFilter{}); len(won) != parts || len(records) != parts {
		t.Errorf("%d parts were finished with %d records, want %d", len(won), len(records), parts)
	}
}

// testLoad runs producers, workers that send, defer and release, and an operator side by side, and
// checks that each recipient ends exactly once.
func testLoad(t *testing.T, h *house) {
	const producers, each, workers = 8, 40, 4
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var produce, work sync.WaitGroup
	for p := range producers {
		produce.Add(1)
		go func() {
			defer produce.Done()
			for i := range each {
				m := accepted("ann@example.com", fmt.Sprintf("a%d-%d@example.org", p, i), fmt.Sprintf("b%d-%d@example.org", p, i))
				if _, err := commit(h.q, bytesOf(uint64(i), 1000+i*5000), m); err != nil {
					t.Errorf("commit: %v", err)
				}
			}
		}()
	}
	for w := range workers {
		work.Add(1)
		go func() {
			defer work.Done()
			deliver(ctx, t, h.q, w)
		}()
	}
	work.Add(1)
	go func() {
		defer work.Done()
		operate(ctx, t, h.q)
	}()
	produce.Wait()
	const want = producers * each * 2
	for deadline := time.Now().Add(60 * time.Second); ; {
		if n := len(h.history(queue.HistoryFilter{})); n == want || time.Now().After(deadline) || t.Failed() {
			break
		}
	}
	cancel()
	work.Wait()
	ends := map[string]int{}
	for _, r := range h.history(queue.HistoryFilter{}) {
		ends[r.Recipient.Address]++
	}
	for to, n := range ends {
		if n != 1 {
			t.Errorf("%s ended %d times", to, n)
		}
	}
	if len(ends) != want {
		t.Errorf("%d recipients ended, want %d", len(ends), want)
	}
	if left := h.list(queue.Filter{}); len(left) != 0 {
		t.Errorf("%d messages are left", len(left))
	}
}

// deliver claims and ends parts in all ways until ctx ends.
func deliver(ctx context.Context, t *testing.T, q queue.Queue, turn int) {
	for ctx.Err() == nil {
		leases, err := q.Claim(ctx, lane, 7, longTime)
		if err != nil && ctx.Err() == nil {
			t.Errorf("Claim: %v", err)
			return
		}
		for _, l := range leases {
			turn++
			if err := settle(l, turn); err != nil {
				t.Errorf("turn %d: %v", turn, err)
			}
		}
	}
}

func settle(l queue.Lease, turn int) error {
	ctx := context.Background()
	b, err := l.Body()
	if err != nil {
		return err
	}
	defer b.Close()
	part := l.Message().Parts[0]
	switch {
	case turn%5 == 0:
		return l.Release(ctx)
	case turn%3 == 0 && len(part.To) > 1: // one is sent, the other waits
		rest := part
		rest.To = part.To[1:]
		return l.Finish(ctx, queue.Result{Done: []queue.Record{{Recipient: part.To[0], State: envelope.Sent}}, Parts: []queue.Part{rest}})
	default:
		if err := l.Extend(ctx, longTime); err != nil {
			return err
		}
		return l.Finish(ctx, sent(l))
	}
}

// operate holds, releases and retries what is there until ctx ends.
func operate(ctx context.Context, t *testing.T, q queue.Engine) {
	background := context.Background()
	for {
		messages, err := q.List(background, queue.Filter{}, queue.Page{Limit: 20})
		if err != nil {
			t.Errorf("List: %v", err)
			return
		}
		ids := []string{}
		for _, m := range messages {
			ids = append(ids, m.ID)
		}
		for _, call := range []act{q.Hold, q.Release, q.Retry} {
			if _, err := call(background, queue.Filter{IDs: ids}, operator); err != nil {
				t.Errorf("operator: %v", err)
				return
			}
		}
		if _, err := q.Stats(background); err != nil {
			t.Errorf("Stats: %v", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

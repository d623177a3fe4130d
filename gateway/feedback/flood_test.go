package feedback

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

// TestFlood: however much is told, of our mail and of others', memory stays where it is. With MAILHATCH_FEEDBACK_FULL it is
// 100,000 events.
func TestFlood(t *testing.T) {
	rounds := 4
	if os.Getenv("MAILHATCH_FEEDBACK_FULL") != "" {
		rounds = 100
	}
	r := newRig(t, upstream.Listening{Webhook: true})
	r.know(r.cfg)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var first uint64
	start := time.Now()
	for round := range rounds {
		var to []string
		for i := range 100 {
			to = append(to, fmt.Sprintf("r%d-%d@example.org", round, i))
		}
		id := r.mail(from("app@example.com"), 0, to...)
		b := upstream.Batch{}
		for i := range 1000 {
			e := upstream.Event{QueueID: id, Recipient: to[i%100], Kind: upstream.Opened, At: time.Now(), Key: fmt.Sprint(round, i)}
			switch {
			case i < 100:
				e.Kind = upstream.Delivered
			case i%2 == 0:
				e.QueueID, e.ProviderID = "", fmt.Sprintf("others-%d-%d", round, i)
			}
			b.Events = append(b.Events, e)
		}
		if _, err := r.take(t.Context(), "main", &b); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		r.log.Reset()
		r.mu.Unlock()
		if round == rounds/4 {
			first = heap()
		}
	}
	last := heap()
	t.Logf("%d events in %v; heap %d KiB after a quarter of them, %d KiB after all", rounds*1000, time.Since(start).Round(time.Millisecond), first>>10, last>>10)
	if last > first+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", first, last)
	}
	begun := time.Now()
	done, err := r.store.Rejoin(t.Context())
	if err != nil || done.Waiting != rounds*450 {
		t.Errorf("%d wait, %v", done.Waiting, err)
	}
	t.Logf("%d that wait are looked through in %v", done.Waiting, time.Since(begun).Round(time.Millisecond))
	if n := len(must(r.store.Search(t.Context(), queue.HistoryFilter{State: "delivered", Limit: 10}))); n != 10 {
		t.Errorf("%d delivered", n)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

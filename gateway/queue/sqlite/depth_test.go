package sqlite_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// TestPlans checks that what delivery asks all the time is answered by an index, however much is queued.
func TestPlans(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	for _, query := range sqlite.HotQueries() {
		steps, err := s.Plan(query)
		if err != nil || len(steps) == 0 {
			t.Fatalf("%s: %q, %v", query, steps, err)
		}
		for _, step := range steps {
			if strings.HasPrefix(step, "SCAN") || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s\n%s", query, strings.Join(steps, "\n"))
			}
		}
	}
}

// TestPlannedOnce checks that no message has a statement planned anew: that costs more than to run it.
func TestPlannedOnce(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	planned, err := s.WatchPlanning()
	if err != nil {
		t.Fatal(err)
	}
	life := func() {
		for _, size := range []int{1 << 10, 16 << 10} {
			mustPut(t, s, make([]byte, size))
		}
		if _, err := s.Lanes(t.Context()); err != nil {
			t.Fatal(err)
		}
		claim := func() []queue.Lease {
			leases, err := s.Claim(t.Context(), "main", 2, time.Minute)
			if err != nil || len(leases) != 2 {
				t.Fatal(leases, err)
			}
			return leases
		}
		for _, l := range claim() { // from memory; the second ones are read
			if err := l.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range claim() {
			done := queue.Record{Recipient: l.Message().Parts[0].To[0], State: envelope.Sent}
			if err := l.Finish(t.Context(), queue.Result{Done: []queue.Record{done}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	life()
	if planned() == 0 {
		t.Fatal("nothing was planned at all")
	}
	for range 3 {
		life()
	}
	if n := planned(); n > 0 {
		t.Errorf("%d steps of planning for statements that had been planned", n)
	}
}

// BenchmarkDepth opens a store with so many messages that wait, and takes others through their whole
// life. Neither life nor Open may depend much on how many wait.
func BenchmarkDepth(b *testing.B) {
	for _, waiting := range []int{0, 10_000, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			dir := b.TempDir()
			fill(b, dir, waiting)
			b.ResetTimer()
			began := time.Now()
			s := benchStore(b, dir)
			opened := time.Since(began)
			var wg sync.WaitGroup
			wg.Go(func() { produce(b, s, 16, b.N, make([]byte, 4096)) })
			consume(b, s, b.N)
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(opened.Seconds()*1e3, "open-ms")
			report(b, dir)
		})
	}
}

// fill puts messages of 1 KiB into the queue that are due in an hour.
func fill(b *testing.B, dir string, n int) {
	b.Helper()
	s := openStore(b, queue.Settings{Dir: dir})
	defer s.Close()
	to := []envelope.Recipient{{Address: "bob@example.org"}}
	m := queue.Accepted{
		Envelope: envelope.Envelope{From: "ann@example.com", To: to, Received: time.Now()},
		Parts:    []queue.Part{{To: to, Lane: "main", State: envelope.Queued, NextAt: time.Now().Add(time.Hour)}},
	}
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				d, err := s.New(context.Background())
				if err == nil {
					if _, err = d.Write(make([]byte, 1024)); err == nil {
						err = d.Commit(context.Background(), m)
					}
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

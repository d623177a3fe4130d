package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// syncRate measures how many small synced writes a second the disk takes, one after the other: what
// the figures of a benchmark are compared with.
func syncRate(b *testing.B, dir string) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	n, buf := 0, make([]byte, 4096)
	began := time.Now()
	for ; time.Since(began) < 300*time.Millisecond; n++ {
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
		if err := sqlite.SyncData(f); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(began).Seconds()
}

func accept(b *testing.B, s *sqlite.Store, body []byte) {
	d, err := s.New(context.Background())
	if err != nil {
		b.Error(err)
		return
	}
	defer d.Discard()
	if _, err := d.Write(body); err != nil {
		b.Error(err)
	}
	to := []envelope.Recipient{{Address: "bob@example.org"}}
	err = d.Commit(context.Background(), queue.Accepted{
		Envelope: envelope.Envelope{From: "ann@example.com", To: to, Received: time.Now(), Client: envelope.Client{Helo: "app1", Protocol: "ESMTP", Listener: "127.0.0.1:1025"}},
		Header:   queue.Summary{MessageID: "<20261122.1@app1.example.com>", From: "Ann <ann@example.com>", Subject: "Your invoice"},
		Parts:    []queue.Part{{To: to, Lane: "main", State: envelope.Queued}},
	})
	if err != nil {
		b.Error(err)
	}
}

// produce accepts n messages by many goroutines.
func produce(b *testing.B, s *sqlite.Store, goroutines, n int, body []byte) {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for left.Add(-1) >= 0 {
				accept(b, s, body)
			}
		}()
	}
	wg.Wait()
}

func report(b *testing.B, dir string) {
	rate := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "msg/s")
	b.ReportMetric(rate/syncRate(b, dir), "msg/sync")
}

// BenchmarkCommit accepts messages: msg/sync compares it with one fdatasync per message.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10} {
		for _, goroutines := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, goroutines), func(b *testing.B) {
				dir := b.TempDir()
				s := benchStore(b, dir)
				b.ResetTimer()
				produce(b, s, goroutines, b.N, make([]byte, size))
				b.StopTimer()
				report(b, dir)
			})
		}
	}
}

func benchStore(b *testing.B, dir string) *sqlite.Store {
	b.Helper()
	s := openStore(b, queue.Settings{Dir: dir})
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// BenchmarkLife accepts, claims, reads and finishes messages, all at once.
func BenchmarkLife(b *testing.B) {
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 256 << 10} {
		for _, goroutines := range []int{16, 64} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, goroutines), func(b *testing.B) {
				dir := b.TempDir()
				s := benchStore(b, dir)
				b.ResetTimer()
				var wg sync.WaitGroup
				wg.Go(func() { produce(b, s, goroutines, b.N, make([]byte, size)) })
				consume(b, s, b.N)
				wg.Wait()
				b.StopTimer()
				report(b, dir)
			})
		}
	}
}

// consume delivers n messages: it claims what is due and finishes each in a goroutine of its own.
func consume(b *testing.B, s *sqlite.Store, n int) {
	var wg sync.WaitGroup
	inFlight := make(chan struct{}, 64)
	for done := 0; done < n && !b.Failed(); {
		leases, err := s.Claim(context.Background(), "main", 64, time.Minute)
		if err != nil {
			b.Error(err)
			return
		}
		for _, l := range leases {
			inFlight <- struct{}{}
			wg.Add(1)
			go func() {
				defer wg.Done()
				finish(b, l)
				<-inFlight
			}()
		}
		if done += len(leases); len(leases) == 0 {
			<-s.Changed()
		}
	}
	wg.Wait()
}

func finish(b *testing.B, l queue.Lease) {
	body, err := l.Body()
	if err != nil {
		b.Error(err)
		return
	}
	body.Close()
	err = l.Finish(context.Background(), queue.Result{Done: []queue.Record{{
		Recipient: l.Message().Parts[0].To[0], State: envelope.Sent, At: time.Now(), Upstream: "main", ProviderID: "49a3999c-0ce1-4ea6-ab68", Attempts: 1,
	}}})
	if err != nil {
		b.Error(err)
	}
}

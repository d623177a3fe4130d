package sqlite_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

func wantFresh(t *testing.T, s *sqlite.Store, want int) {
	t.Helper()
	if n, _ := s.Fresh(); n != want {
		t.Errorf("%d messages are remembered, want %d", n, want)
	}
}

// seen is what a lease shows of its message, with its bytes.
func seen(t *testing.T, l queue.Lease) string {
	t.Helper()
	text, err := json.Marshal(l.Message())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Body()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	body, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()+1))
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + string(body)
}

// TestFreshMailIsLikeItsRows: the first claim, which is served from memory, and the second give the same.
func TestFreshMailIsLikeItsRows(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	for _, size := range []int{0, 10, 4 << 10, 40 << 10, 400 << 10} {
		m := wholeMail()
		putMail(t, s, bytes.Repeat([]byte("a"), size), m)
		wantFresh(t, s, 1)
		first := claimOne(t, s)
		wantFresh(t, s, 0)
		got := seen(t, first)
		if err := first.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		second := claimOne(t, s)
		if want := seen(t, second); got != want {
			t.Errorf("%d bytes: first claim\n%.2000s\nsecond claim\n%.2000s", size, got, want)
		}
		if at := first.Message().Envelope.Received; at != at.Round(0) {
			t.Errorf("received %v, with the reading of a clock that no row has", at)
		}
		r := sent(second)
		r.Done = append(r.Done, queue.Record{Recipient: second.Message().Parts[0].To[1], State: envelope.Sent})
		if err := second.Finish(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNotFresh: what the first claim would not show as it is, or not soon, is not remembered.
func TestNotFresh(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	for name, change := range map[string]func(*queue.Accepted){
		"held":           func(m *queue.Accepted) { m.Parts[0].State = envelope.Held },
		"later":          func(m *queue.Accepted) { m.Parts[0].NextAt = time.Now().Add(time.Hour) },
		"tried before":   func(m *queue.Accepted) { m.Parts[0].Progress.Attempts = 1 },
		"some of all":    func(m *queue.Accepted) { m.Parts[0].To = m.Parts[0].To[:1] },
		"not UTF-8":      func(m *queue.Accepted) { m.Header.Subject = "a\xff\xffb" },
		"in two parts":   func(m *queue.Accepted) { m.Parts = append(m.Parts, m.Parts[0]) },
		"only a history": func(m *queue.Accepted) { m.Parts = nil; m.Done = []queue.Record{{State: envelope.Discarded}} },
	} {
		m := wholeMail()
		change(&m)
		putMail(t, s, []byte("x"), m)
		if n, _ := s.Fresh(); n != 0 {
			t.Errorf("%s: it is remembered", name)
		}
	}
}

// TestFreshMailIsForgotten: each change of what is queued is seen by the first claim after it.
func TestFreshMailIsForgotten(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		act    func(s *sqlite.Store, id string) error
		leases int
		want   func(p envelope.Progress) bool
	}{
		{"Retry", func(s *sqlite.Store, id string) error { _, err := s.Retry(ctx, named(id), "root"); return err }, 1,
			func(p envelope.Progress) bool { return !p.Renewed.IsZero() }},
		{"Hold", func(s *sqlite.Store, id string) error { _, err := s.Hold(ctx, named(id), "root"); return err }, 0, nil},
		{"Release", func(s *sqlite.Store, id string) error {
			_, err := s.Hold(ctx, named(id), "root")
			_, err2 := s.Release(ctx, named(id), "root")
			return errors.Join(err, err2)
		}, 1, func(p envelope.Progress) bool { return p.Released }},
		{"Delete", func(s *sqlite.Store, id string) error { _, err := s.Delete(ctx, named(id), "root"); return err }, 0, nil},
		{"Move", func(s *sqlite.Store, id string) error { _, err := s.Move(ctx, named(id), "next", "root"); return err }, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t, queue.Settings{Dir: t.TempDir()})
			defer mustClose(t, s)
			id := putMail(t, s, []byte("x"), wholeMail())
			wantFresh(t, s, 1)
			if err := c.act(s, id); err != nil {
				t.Fatal(err)
			}
			wantFresh(t, s, 0)
			leases, err := s.Claim(ctx, "main", 10, time.Minute)
			if err != nil || len(leases) != c.leases {
				t.Fatalf("%d leases, %v, want %d", len(leases), err, c.leases)
			}
			if c.want != nil && !c.want(leases[0].Message().Parts[0].Progress) {
				t.Errorf("it shows %+v", leases[0].Message().Parts[0])
			}
		})
	}
}

// TestFreshMailAndOperator: an operator who steers mail while it comes and is claimed is never ignored.
func TestFreshMailAndOperator(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	ctx, stop := context.WithCancel(context.Background())
	var steered sync.Map // ids whose release was over
	var fromMemory, afterRelease atomic.Int64
	var claims, producers sync.WaitGroup
	claims.Go(func() {
		for ctx.Err() == nil {
			before := map[any]bool{}
			steered.Range(func(id, _ any) bool { before[id] = true; return true })
			leases, err := s.Claim(context.Background(), "main", 3, time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			for _, l := range leases {
				m := l.Message()
				switch p := m.Parts[0].Progress; {
				case before[m.ID] && !p.Released:
					t.Errorf("%s was released and does not know it", m.ID)
				case p.Released:
					afterRelease.Add(1)
				default:
					fromMemory.Add(1)
				}
				steered.Delete(m.ID)
				if err := l.Finish(context.Background(), sent(l)); err != nil && !errors.Is(err, queue.ErrFenced) {
					t.Error(err)
				}
			}
		}
	})
	for range 4 {
		producers.Go(func() {
			for n := range 100 {
				id, err := put(t, s, []byte("x"))
				if err != nil {
					t.Error(err)
				}
				if n%3 != 0 {
					continue
				}
				if held, err := s.Hold(context.Background(), named(id), "root"); err != nil || held.Messages == 0 {
					continue
				}
				if released, err := s.Release(context.Background(), named(id), "root"); err == nil && released.Messages == 1 {
					steered.Store(id, true)
				}
			}
		})
	}
	producers.Wait()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if lanes, err := s.Lanes(context.Background()); err == nil && len(lanes) == 0 {
			break
		}
	}
	stop()
	claims.Wait()
	t.Logf("%d claims of what nobody touched, %d of what was released", fromMemory.Load(), afterRelease.Load())
}

// TestFreshMemory: it is bounded, and nothing of a failed commit stays in it.
func TestFreshMemory(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for range 50 {
				if _, err := put(t, s, make([]byte, 8<<10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	n, bytes := s.Fresh()
	if n < 100 || bytes > 1<<20 {
		t.Errorf("%d messages are remembered in %d bytes", n, bytes)
	}
	_, err := s.Move(t.Context(), queue.Filter{}, "other", "root")
	if err := errors.Join(err, s.LimitPages(1)); err != nil {
		t.Fatal(err)
	}
	wantFresh(t, s, 0)
	stored := 0
	for ; err == nil && stored < 10_000; stored++ {
		_, err = put(t, s, make([]byte, 8<<10))
	}
	if !errors.Is(err, queue.ErrFull) {
		t.Errorf("commit into a full database: %v", err)
	}
	if n, _ := s.Fresh(); n >= stored {
		t.Errorf("%d messages are remembered of %d that were stored", n, stored-1)
	}
}

package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/batch"
	"mailhatch/gateway/queue/postgres/postgrestest"
)

// TestLostReply: what the database has committed and could not say is known all the same, and is there once.
func TestLostReply(t *testing.T) {
	p := postgrestest.NewProxy(t, server.Schema(t, t.Name()))
	s := open(t, queue.Settings{URL: p.URL, Lease: time.Hour}) // no sign of life between
	for _, body := range []string{"small", strings.Repeat("large ", 100_000)} {
		p.Lose(1)
		id := accept(t, s, body)
		if p.Lost() != 1 {
			t.Fatal("the answer was not lost")
		}
		b, err := s.Body(t.Context(), id)
		if err != nil || b.Size() != int64(len(body)) {
			t.Fatalf("%d bytes: %v", len(body), err)
		}
		_ = b.Close()
	}
	leases := claim(t, s, 10, time.Hour)
	if len(leases) != 2 {
		t.Fatalf("%d parts are there, want 2", len(leases))
	}
	for _, l := range leases {
		p.Lose(1)
		if err := l.Finish(t.Context(), sent(l)); err != nil {
			t.Errorf("Finish: %v", err)
		}
		if p.Lost() != 1 {
			t.Fatal("the answer was not lost")
		}
		if r, err := s.Search(t.Context(), queue.HistoryFilter{ID: l.Message().ID}); err != nil || len(r) != 1 {
			t.Errorf("%d records, %v", len(r), err)
		}
	}
}

// TestLostBeforeEnd: mail whose commit was not answered, and which another gateway has sent meanwhile, is not there again.
func TestLostBeforeEnd(t *testing.T) {
	url := server.Schema(t, t.Name())
	p := postgrestest.NewProxy(t, url)
	s, other := open(t, queue.Settings{URL: p.URL, Lease: time.Hour}), open(t, queue.Settings{URL: url})
	d, err := s.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	accepted := mail("bob@example.org")
	m, err := s.newMail(d.(*draft), &accepted)
	if err != nil {
		t.Fatal(err)
	}
	var rows mailRows
	rows.add(m)
	if err := s.writeSolo(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for _, l := range claim(t, other, 1, time.Hour) {
		if err := l.Finish(t.Context(), sent(l)); err != nil {
			t.Fatal(err)
		}
	}
	again := []*batch.Op[*newMail]{{Item: m}}
	s.askAgain(again, &rows, errors.New("lost"))
	if err := again[0].Err; err != nil {
		t.Errorf("mail that was stored and sent: %v", err)
	}
	if n := len(claim(t, other, 1, time.Hour)); n != 0 {
		t.Error("it is in the queue again")
	}
}

// TestTakeOver: the lease of a gateway that lives goes on; that of a dead one ends, and what it had is interrupted.
func TestTakeOver(t *testing.T) {
	const short = 400 * time.Millisecond
	url := server.Schema(t, t.Name())
	a, b := open(t, queue.Settings{URL: url, Lease: short, Gateway: "a"}), open(t, queue.Settings{URL: url, Lease: short, Gateway: "b"})
	accept(t, a, "x")
	held := claim(t, a, 1, time.Hour)
	for end := time.Now().Add(3 * short); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if n := len(claim(t, b, 1, time.Hour)); n != 0 {
			t.Skip("the machine is too slow for leases this short")
		}
	}
	if err := held[0].Extend(t.Context(), time.Hour); err != nil {
		t.Errorf("Extend: %v", err)
	}
	a.held.drop(held[0].(*lease)) // a does not say any more that it lives
	var taken []queue.Lease
	await(t, "the lease to end", func() bool { taken = claim(t, b, 1, time.Hour); return len(taken) == 1 })
	if !taken[0].Message().Parts[0].Interrupted {
		t.Error("what a dead gateway had is not interrupted")
	}
	old := held[0].(*lease)
	old.over = false // it wakes up, and does not know yet
	for what, err := range map[string]error{"Finish": old.Finish(t.Context(), sent(old)), "Extend": old.Extend(t.Context(), time.Hour), "Release": old.Release(t.Context())} {
		if !errors.Is(err, queue.ErrFenced) {
			t.Errorf("%s of a gateway that slept: %v", what, err)
		}
	}
	if err := taken[0].Finish(t.Context(), sent(taken[0])); err != nil {
		t.Errorf("Finish: %v", err)
	}
}

// TestChangedByOthers: mail that another gateway accepts wakes this one.
func TestChangedByOthers(t *testing.T) {
	url := server.Schema(t, t.Name())
	a, b := open(t, queue.Settings{URL: url, Gateway: "a"}), open(t, queue.Settings{URL: url, Gateway: "b"})
	if err := b.Serve(t.Context(), []string{lane}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case <-b.Changed():
		default:
		}
		accept(t, a, "x")
		select {
		case <-b.Changed():
		case <-time.After(time.Minute):
			t.Fatal("nothing wakes the other gateway")
		}
		for _, l := range append(claim(t, b, 10, time.Hour), claim(t, b, 10, time.Hour)...) {
			if err := l.Finish(t.Context(), sent(l)); err != nil {
				t.Fatal(err)
			}
		}
	}
	await(t, "an empty queue", func() bool { lanes, err := a.Lanes(t.Context()); return err == nil && len(lanes) == 0 })
}

// TestTogether: two gateways that claim and end parts of the same messages leave nothing behind.
func TestTogether(t *testing.T) {
	url := server.Schema(t, t.Name())
	a, b := open(t, queue.Settings{URL: url, Gateway: "a"}), open(t, queue.Settings{URL: url, Gateway: "b"})
	const messages = 60
	for range messages {
		m := mail("a@example.org", "b@example.org", "c@example.org")
		m.Parts = nil
		for i := range m.Envelope.To {
			m.Parts = append(m.Parts, queue.Part{To: m.Envelope.To[i : i+1], Lane: lane, State: "queued"})
		}
		if _, err := commit(a, "x", m); err != nil {
			t.Fatal(err)
		}
	}
	var work sync.WaitGroup
	for _, s := range []*Store{a, b, a, b} {
		work.Go(func() {
			for {
				leases := claim(t, s, 4, time.Hour)
				if len(leases) == 0 {
					return
				}
				for _, l := range leases {
					work.Go(func() {
						if err := l.Finish(context.Background(), sent(l)); err != nil {
							t.Errorf("Finish: %v", err)
						}
					})
				}
			}
		})
	}
	work.Wait()
	for _, table := range []string{"parts", "messages", "bodies"} {
		if n := server.Row(t, url, "SELECT count(*)::text FROM "+table); n != "0" {
			t.Errorf("%s has %s rows", table, n)
		}
	}
	if r, err := a.Search(t.Context(), queue.HistoryFilter{}); err != nil || len(r) != 3*messages {
		t.Errorf("%d records, %v", len(r), err)
	}
}

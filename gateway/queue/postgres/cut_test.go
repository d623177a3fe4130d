package postgres

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/postgrestest"
)

// TestCutAnywhere: wherever in a call the connection breaks, the database is away for the caller, and nothing else; and the call
// can be repeated.
func TestCutAnywhere(t *testing.T) {
	url := server.Schema(t, t.Name())
	p := postgrestest.NewProxy(t, url)
	other := open(t, queue.Settings{URL: url, Gateway: "b", Lease: time.Hour})
	s, err := Open(t.Context(), queue.Settings{URL: p.URL, Dir: t.TempDir(), Gateway: "a", Lease: time.Hour}) // it does nothing by itself
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.Forward([]string{"r"})
	s.SuppressOn(queue.SuppressionRules{})
	ended := accept(t, other, "ended")
	large := accept(t, other, strings.Repeat("large ", 100_000))
	small := accept(t, other, "small")
	old := mail("old@example.org")
	old.Parts[0].State = envelope.Failed
	for range 2 {
		if _, err := commit(other, "old", old); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range claim(t, other, 1, time.Hour) {
		if err := l.Finish(t.Context(), sent(l)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, at := t.Context(), time.Now()
	windows := []queue.Window{{From: at.Add(-time.Hour), Until: at.Add(time.Hour), Count: 1 << 20}}
	told := queue.Told{ProviderID: "p-1", Recipient: "bob@example.org", Kind: queue.EventBounced, At: at, Words: "550 no", Status: "5.1.1"}
	read := func(id string) error {
		b, err := s.Body(ctx, id)
		if err == nil {
			err = b.Close()
		}
		return err
	}
	n := 0
	for what, do := range map[string]func() error{
		"List":      func() error { _, err := s.List(ctx, queue.Filter{}, queue.Page{}); return err },
		"Ahead":     func() error { _, err := s.Ahead(ctx, lane, []queue.Place{{ID: small}}, 10); return err },
		"Body":      func() error { return errors.Join(read(small), read(large)) },
		"Stats":     func() error { _, err := s.Stats(ctx); return err },
		"Lanes":     func() error { _, err := s.Lanes(ctx); return err },
		"Health":    func() error { _, err := s.Health(ctx); return err },
		"Search":    func() error { _, err := s.Search(ctx, queue.HistoryFilter{To: "bob*"}); return err },
		"Events":    func() error { _, err := s.Events(ctx, small); return err },
		"Finished":  func() error { _, err := s.Finished(ctx, ended); return err },
		"Note":      func() error { return s.Note(ctx, queue.Event{ID: small, Kind: queue.EventHeld, At: at}) },
		"Hold":      func() error { _, err := s.Hold(ctx, queue.Filter{IDs: []string{small}}, "x"); return err },
		"Release":   func() error { _, err := s.Release(ctx, queue.Filter{IDs: []string{small}}, "x"); return err },
		"Move":      func() error { _, err := s.Move(ctx, queue.Filter{IDs: []string{small}}, lane, "x"); return err },
		"Retry":     func() error { _, err := s.Retry(ctx, queue.Filter{To: "none*"}, "x"); return err },
		"Hasten":    func() error { return s.Hasten(ctx, lane, time.Time{}) },
		"Prune":     func() error { _, err := s.Prune(ctx, queue.Keep{FailedBytes: 1}); return err },
		"Pause":     func() error { return errors.Join(s.Pause(ctx, "p", "x"), s.Resume(ctx, "p")) },
		"Paused":    func() error { _, err := s.Paused(ctx); return err },
		"Serve":     func() error { return s.Serve(ctx, []string{lane}) },
		"Counting":  func() error { _, err := s.Counting(ctx, []string{lane}); return err },
		"Used":      func() error { _, err := s.Used(ctx, lane, windows); return err },
		"Unsettled": func() error { _, err := s.Unsettled(ctx, lane, small); return err },
		"Settle":    func() error { return s.Settle(ctx, queue.Settlement{Upstream: lane, ID: small, Back: []string{"a"}}) },
		"Take": func() error {
			_, err := s.Take(ctx, queue.Offer{Upstream: lane, ID: small, To: []string{"a"}, At: at, Windows: windows})
			return err
		},
		"Suppress": func() error {
			_, err := s.Suppress(ctx, queue.Suppression{Address: "a@b.example", Reason: "manual", At: at})
			return err
		},
		"Suppressed":   func() error { _, err := s.Suppressed(ctx, "", "a@b.example"); return err },
		"Suppressions": func() error { _, err := s.Suppressions(ctx, queue.SuppressionFilter{Limit: 1}); return err },
		"Lift":         func() error { _, err := s.Lift(ctx, "", "no@b.example"); return err },
		"Cursor":       func() error { _, err := s.Cursor(ctx, lane); return err },
		"Awaited":      func() error { _, err := s.Awaited(ctx, lane, at.Add(-time.Hour)); return err },
		"ToldOf":       func() error { _, err := s.ToldOf(ctx, lane, small); return err },
		"LateBounces":  func() error { _, err := s.LateBounces(ctx, "", 10); return err },
		"Outgoing":     func() error { _, err := s.Outgoing(ctx, "r", 10); return err },
		"Rejoin":       func() error { _, err := s.Rejoin(ctx); return err },
		"Apply": func() error {
			n++
			told.Key = strings.Repeat("k", n)
			_, err := s.Apply(ctx, queue.News{Upstream: lane, Cursor: "c", Nonce: told.Key, Told: []queue.Told{told}})
			return err
		},
		"Import": func() error {
			n++
			m := mail("new@example.org")
			m.Done = []queue.Record{{Recipient: envelope.Recipient{Address: "done@example.org"}, State: envelope.Sent, At: at.Add(-48 * time.Hour)}}
			m.Envelope.To = append(m.Envelope.To, m.Done[0].Recipient)
			_, err := s.Import(ctx, &queue.Imported{ID: queue.FormatID(at.UnixMilli()<<21 + int64(n)), Accepted: m, Size: 1 << 21, Body: io.NewSectionReader(zeros{}, 0, 1<<21)})
			return err
		},
		"SetPrivacy": func() error { return s.SetPrivacy(queue.HideNothing) },
		"Delete":     func() error { _, err := s.Delete(ctx, queue.Filter{To: "new*"}, "x"); return err },
		"open": func() error {
			e, err := Open(ctx, queue.Settings{URL: p.URL, Dir: t.TempDir(), Gateway: "c"})
			if err == nil {
				err = e.Close()
			}
			return err
		},
		"open to read": func() error {
			e, err := OpenReadOnly(ctx, queue.Settings{URL: p.URL, Dir: t.TempDir()})
			if err == nil {
				err = e.Close()
			}
			return err
		},
	} {
		for pieces := range 10 {
			p.CutAfter(pieces)
			if err := do(); err != nil && !errors.Is(err, queue.ErrAway) {
				t.Errorf("%s, cut after %d: %v", what, pieces, err)
			}
		}
		p.CutAfter(-1)
		err := do()
		for range 12 { // connections that broke while they were idle
			if err != nil {
				err = do()
			}
		}
		if err != nil {
			t.Errorf("%s, not cut: %v", what, err)
		}
	}
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// TestCutLeases: so it is with leases; what the database has heard of one is so, and a result is there once.
func TestCutLeases(t *testing.T) {
	url := server.Schema(t, t.Name())
	p := postgrestest.NewProxy(t, url)
	s := open(t, queue.Settings{URL: p.URL, Lease: time.Hour})
	const messages = 12
	for range messages {
		accept(t, s, strings.Repeat("x", 40<<10)) // whose body does not come with the claim
	}
	isAway := func(what string, err error) {
		if err != nil && !errors.Is(err, queue.ErrAway) && !errors.Is(err, queue.ErrFenced) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for pieces := 0; ; pieces++ {
		p.CutAfter(pieces%9 - 1)
		leases, err := s.Claim(context.Background(), lane, 1, time.Second)
		isAway("Claim", err)
		list, err := s.List(t.Context(), queue.Filter{}, queue.Page{})
		isAway("List", err)
		if err == nil && len(list) == 0 {
			break
		}
		for _, l := range leases {
			p.CutAfter(pieces % 3)
			isAway("Extend", l.Extend(t.Context(), 2*time.Hour))
			b, err := l.Body()
			if isAway("Body", err); err == nil {
				isAway("Body", b.Close())
			}
			p.CutAfter(pieces % 5)
			end, what := func() error { return l.Finish(t.Context(), sent(l)) }, "Finish"
			if pieces%4 == 0 {
				end, what = func() error { return l.Release(t.Context()) }, "Release"
			}
			err = end()
			for isAway(what, err); errors.Is(err, queue.ErrAway); err = end() {
				isAway(what, err)
			}
		}
		time.Sleep(time.Millisecond)
	}
	p.CutAfter(-1)
	records, err := s.Search(t.Context(), queue.HistoryFilter{})
	if err != nil {
		records, err = s.Search(t.Context(), queue.HistoryFilter{})
	}
	if err != nil || len(records) != messages {
		t.Errorf("%d records, want %d, %v", len(records), messages, err)
	}
}

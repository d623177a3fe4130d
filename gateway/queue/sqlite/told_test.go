package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// told returns news of the mail that ended made, for which is chosen.
func told(t *testing.T, s queue.Engine, kind queue.EventKind, chosen func(r *queue.Record) bool) (news []queue.Told) {
	t.Helper()
	records, err := s.Search(context.Background(), queue.HistoryFilter{State: envelope.Sent, Upstream: "main"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if r := &records[i]; chosen(r) {
			news = append(news, queue.Told{ProviderID: r.ProviderID, Recipient: r.Recipient.Address, Kind: kind, At: time.Now(), Words: "x"})
		}
	}
	return news
}

// TestToldInSheets: a state that is told later is found, whether the sheet of its record was written before or after.
func TestToldInSheets(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	const n = 3000
	ended(t, s, n)
	every := func(m, rest int) func(*queue.Record) bool {
		return func(r *queue.Record) bool {
			var i int
			_, err := fmt.Sscanf(r.ProviderID, "p-%d", &i)
			return err == nil && i%m == rest
		}
	}
	before := told(t, s, queue.EventBounced, every(7, 0))
	if done, err := s.Apply(ctx, queue.News{Upstream: "main", Told: before}); err != nil || len(done.Joined) != len(before) {
		t.Fatalf("%d of %d joined, %v", len(done.Joined), len(before), err)
	}
	await(t, "sheets", func() bool { return s.Indexed() >= n-1024 })
	after := told(t, s, queue.EventDelivered, every(7, 1))
	if done, err := s.Apply(ctx, queue.News{Upstream: "main", Told: after}); err != nil || len(done.Joined) != len(after) {
		t.Fatalf("%d of %d joined, %v", len(done.Joined), len(after), err)
	}
	for state, want := range map[envelope.State][]queue.Told{envelope.Bounced: before, envelope.Delivered: after} {
		list, err := s.Search(ctx, queue.HistoryFilter{State: state})
		if err != nil || len(list) != len(want) || len(want) < n/50 {
			t.Errorf("%s: %d found, want %d, %v", state, len(list), len(want), err)
		}
	}
	rest := told(t, s, queue.EventDelivered, func(*queue.Record) bool { return true })
	oldest, err := s.Awaited(ctx, "main", time.Time{})
	if err != nil || oldest.IsZero() || time.Since(oldest) < n/2*time.Second {
		t.Errorf("awaited since %v, %v", oldest, err)
	}
	for len(rest) > 0 {
		some := rest[:min(500, len(rest))]
		rest = rest[len(some):]
		if done, err := s.Apply(ctx, queue.News{Upstream: "main", Told: some}); err != nil || len(done.Joined) != len(some) {
			t.Fatalf("%d of %d joined, %v", len(done.Joined), len(some), err)
		}
	}
	if oldest, err := s.Awaited(ctx, "main", time.Time{}); err != nil || !oldest.IsZero() {
		t.Errorf("awaited since %v, %v; want none", oldest, err)
	}
}

// TestToldInVain: what waits for a record that never comes is dropped after its time.
func TestToldInVain(t *testing.T) {
	ctx := context.Background()
	now := time.Now()
	s := openStore(t, queue.Settings{Dir: t.TempDir(), Now: func() time.Time { return now }})
	defer mustClose(t, s)
	stray := func(i int) queue.Told {
		return queue.Told{ProviderID: fmt.Sprint("stray-", i), Recipient: "ann@example.org", Kind: queue.EventBounced, At: now}
	}
	if done, err := s.Apply(ctx, queue.News{Upstream: "main", Told: []queue.Told{stray(1), stray(2)}}); err != nil || done.Waiting != 2 {
		t.Fatalf("%+v %v", done, err)
	}
	now = now.Add(queue.JoinTime / 2)
	var many []queue.Told
	for i := range 600 {
		many = append(many, stray(10+i))
	}
	if done, err := s.Apply(ctx, queue.News{Upstream: "main", Told: many}); err != nil || done.Waiting != 602 {
		t.Fatalf("%+v %v", done, err)
	}
	now = now.Add(queue.JoinTime/2 + time.Second)
	if done, err := s.Rejoin(ctx); err != nil || done.Waiting != 600 || done.Dropped != 2 {
		t.Errorf("%+v %v", done, err)
	}
	if err := s.Dismiss(ctx, "?"); !errors.Is(err, queue.ErrReported) {
		t.Errorf("an invalid key: %v", err)
	}
	now = now.Add(queue.JoinTime)
	if _, err := s.Prune(ctx, queue.Keep{}); err != nil {
		t.Error(err)
	}
	if done, err := s.Rejoin(ctx); err != nil || done.Waiting != 0 {
		t.Errorf("%+v %v", done, err)
	}
}

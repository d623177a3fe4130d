package queuetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// windows are a day of n recipients and a month of m, in which at lies.
func windows(at time.Time, n, m int) []queue.Window {
	day := at.UTC().Truncate(24 * time.Hour)
	month := time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC)
	return []queue.Window{
		{From: day, Until: day.Add(24 * time.Hour), Count: n},
		{From: month, Until: month.AddDate(0, 1, 0), Count: m},
	}
}

func (h *house) take(o queue.Offer) queue.Grant {
	h.Helper()
	g, err := h.q.Take(context.Background(), o)
	h.must("Take", err)
	return g
}

// wantGrant offers and compares what may be offered: "a b", "a b again" or "".
func (h *house) wantGrant(what string, o queue.Offer, want string, used ...int) {
	h.Helper()
	g := h.take(o)
	got := strings.Join(g.To, " ")
	if g.Again {
		got += " again"
	}
	if got != want || !slices.Equal(g.Used, used) {
		h.Errorf("%s: granted %q, used %v, want %q, %v", what, got, g.Used, want, used)
	}
}

func (h *house) settle(s queue.Settlement) {
	h.Helper()
	h.must("Settle", h.q.Settle(context.Background(), s))
}

func (h *house) wantUsed(what, upstream string, at time.Time, want ...int) {
	h.Helper()
	got, err := h.q.Used(context.Background(), upstream, windows(at, 1, 1))
	h.must("Used", err)
	if !slices.Equal(got, want) {
		h.Errorf("%s: used %v, want %v", what, got, want)
	}
}

func (h *house) wantUnsettled(upstream, id, want string) {
	h.Helper()
	to, err := h.q.Unsettled(context.Background(), upstream, id)
	h.must("Unsettled", err)
	slices.Sort(to)
	if got := strings.Join(to, " "); got != want {
		h.Errorf("not settled at %s: %q, want %q", upstream, got, want)
	}
}

// testQuota: exactly as many are counted as there is room for, each once, over restarts.
func testQuota(t *testing.T, h *house) {
	at := time.Date(2026, time.November, 29, 23, 59, 59, 0, time.UTC)
	next := at.Add(time.Second)
	one, two := queue.FormatID(1), queue.FormatID(2)
	offer := func(id, to string, at time.Time) queue.Offer {
		return queue.Offer{Upstream: "free", ID: id, To: strings.Fields(to), At: at, Windows: windows(at, 3, 6)}
	}
	h.wantGrant("the first", offer(one, "a b", at), "a b", 2, 2)
	h.restart()
	h.wantGrant("an offer that is repeated", offer(one, "a b", at), "a b again", 2, 2)
	h.wantGrant("more than there is room for", offer(two, "c d e", at), "c", 3, 3)
	h.wantGrant("with some that were counted", offer(two, "e d c", at), "c again", 3, 3)
	h.wantGrant("no room", offer(two, "d", at), "", 3, 3)
	h.wantGrant("another upstream", queue.Offer{Upstream: "other", ID: two, To: []string{"c"}, At: at, Windows: windows(at, 3, 6)}, "c", 1, 1)
	h.wantUnsettled("free", one, "a b")
	h.settle(queue.Settlement{Upstream: "free", ID: one, Taken: []string{"a"}, Back: []string{"b", "unknown"}})
	h.restart()
	h.wantUnsettled("free", one, "")
	h.wantUnsettled("other", two, "c")
	h.wantUsed("after one came back", "free", at, 2, 2)
	h.settle(queue.Settlement{Upstream: "free", ID: one, Taken: []string{"a"}, Back: []string{"b", "a"}})
	h.wantUsed("what was settled once stays so", "free", at, 2, 2)
	h.wantGrant("the next day", offer(one, "a f g h", next), "a f g", 3, 5)
	h.wantGrant("the month is used up before the day", offer(two, "i j", next.Add(24*time.Hour-time.Second)), "", 3, 5)
	h.settle(queue.Settlement{Upstream: "free", ID: two, Back: []string{"c"}})
	h.wantUsed("it comes back to its own day", "free", at, 1, 4)
	h.wantUsed("and not to another", "free", next, 3, 4)
	h.wantGrant("a narrower month", queue.Offer{Upstream: "free", ID: two, To: []string{"k"}, At: next, Windows: windows(next, 9, 2)}, "", 3, 4)
	for _, bad := range []queue.Offer{{Upstream: "free", ID: one, To: []string{"x"}, At: at}, offer("nonsense", "x", at),
		{Upstream: "free", ID: one, To: []string{"x"}, At: next, Windows: windows(at, 9, 9)}} {
		if _, err := h.q.Take(context.Background(), bad); err == nil {
			t.Errorf("Take of %+v: no error", bad)
		}
	}
	if err := h.q.Settle(context.Background(), queue.Settlement{ID: "nonsense", Taken: []string{"x"}}); err == nil {
		t.Error("Settle of no message: no error")
	}
}

// testQuotaOfLease: what became of an offer and what it counts are one write.
func testQuotaOfLease(t *testing.T, h *house) {
	at := time.Now()
	m := accepted("ann@example.com", "a@example.org", "b@example.org", "c@example.org")
	id := h.commit([]byte("x"), m)
	l := h.claimOne()
	h.wantGrant("an offer", queue.Offer{Upstream: lane, ID: id, To: []string{"a@example.org", "b@example.org", "c@example.org"}, At: at, Windows: windows(at, 9, 9)},
		"a@example.org b@example.org c@example.org", 3, 3)
	to := m.Envelope.To
	h.finish(l, queue.Result{Done: []queue.Record{{Recipient: to[0], State: envelope.Sent}},
		Parts: []queue.Part{{To: to[1:2], Lane: lane, State: envelope.Held}, {To: to[2:], Lane: lane, State: envelope.Queued}},
		Quota: queue.Settlement{Upstream: lane, Taken: []string{"a@example.org"}, Back: []string{"b@example.org"}}})
	h.restart()
	h.wantUsed("after Finish", lane, at, 2, 2)
	h.wantGrant("who may have been taken", queue.Offer{Upstream: lane, ID: id, To: []string{"b@example.org", "c@example.org"}, At: at, Windows: windows(at, 2, 2)},
		"c@example.org again", 2, 2)
	l = h.claimOne()
	if err := l.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := l.Finish(context.Background(), queue.Result{Done: []queue.Record{{Recipient: to[2], State: envelope.Sent}},
		Quota: queue.Settlement{Upstream: lane, Back: []string{"c@example.org"}}}); err == nil {
		t.Error("Finish of a lease that is lost: no error")
	}
	h.wantUsed("after a Finish that failed", lane, at, 2, 2)
}

// testQuotaCounting: a process learns what the one before it counted.
func testQuotaCounting(t *testing.T, h *house) {
	for _, c := range []struct{ now, before string }{{"a b", ""}, {"b c", "a b"}, {"", "b c"}, {"a", ""}} {
		before, err := h.q.Counting(context.Background(), strings.Fields(c.now))
		h.must("Counting", err)
		slices.Sort(before)
		if got := strings.Join(before, " "); got != c.before {
			t.Errorf("before %q there was %q, want %q", c.now, got, c.before)
		}
		h.restart()
	}
}

// testQuotaPrune: what a window may ask for stays, and what a message may be offered for.
func testQuotaPrune(t *testing.T, h *house) {
	old := time.Now().Add(-40 * 24 * time.Hour)
	id := h.add("b@example.org")
	for _, id := range []string{id, queue.FormatID(1)} {
		h.take(queue.Offer{Upstream: lane, ID: id, To: []string{"b@example.org"}, At: old, Windows: windows(old, 9, 9)})
	}
	if _, err := h.q.Prune(context.Background(), queue.Keep{}); err != nil {
		t.Fatal(err)
	}
	h.wantUsed("after Prune", lane, old, 2, 2)
	h.settle(queue.Settlement{Upstream: lane, ID: queue.FormatID(1), Back: []string{"b@example.org"}})
	h.wantUsed("a message that is gone", lane, old, 2, 2)
	h.settle(queue.Settlement{Upstream: lane, ID: id, Back: []string{"b@example.org"}})
	h.wantUsed("a message that is there", lane, old, 1, 1)
}

// testQuotaRace: however many offer at once, no more are granted than there is room for.
func testQuotaRace(t *testing.T, h *house) {
	at := time.Now()
	var granted atomic.Int64
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 10 {
				to := []string{fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i)}
				g, err := h.q.Take(context.Background(), queue.Offer{Upstream: lane, ID: queue.FormatID(int64(n + 1)), To: to, At: at, Windows: windows(at, 100, 1000)})
				if err != nil {
					t.Error(err)
				}
				granted.Add(int64(len(g.To)))
			}
		})
	}
	all.Wait()
	if granted.Load() != 100 {
		t.Errorf("%d were granted, want 100", granted.Load())
	}
	h.wantUsed("after all", lane, at, 100, 100)
}

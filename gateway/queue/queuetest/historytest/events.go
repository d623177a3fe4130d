package historytest

import (
	"context"
	"errors"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// testEventsOfOffers: what a result tells is kept with it, also beyond the end.
func testEventsOfOffers(t *testing.T, h *house) {
	m := mail("ann@example.com", "a@example.org", "b@example.org")
	m.Events = []queue.Event{{Kind: queue.EventHeld, Rule: "drafts", To: []string{"b@example.org"}}}
	id := h.add("x", m)
	other := h.add("x", mail("ann@example.com", "c@example.org"))
	leases, err := h.q.Claim(context.Background(), lane, 10, longTime)
	h.must("Claim", err)
	for _, l := range leases {
		if l.Message().ID == other {
			h.send(l, queue.Record{})
			continue
		}
		next := time.Now().Add(time.Hour).Truncate(time.Millisecond)
		part := l.Message().Parts[0]
		part.NextAt = next
		e := queue.Event{Kind: queue.EventDeferred, Upstream: lane, Lane: "next", Rule: "r", Words: "451 gr€ylisted\x00", Attempts: 1, Next: next}
		h.finish(l, queue.Result{Parts: []queue.Part{part}, Events: []queue.Event{e}})
	}
	h.restart()
	h.wantEvents("after a restart", id, "held   b@example.org", "deferred main  ")
	if e := h.events(id)[1]; e.Words != "451 gr€ylisted\x00" || e.Attempts != 1 || e.Lane != "next" || e.Rule != "r" || time.Until(e.Next) < 50*time.Minute {
		t.Errorf("the event of an offer: %+v", e)
	}
	h.must("Hasten", h.q.Hasten(context.Background(), lane, time.Time{}))
	h.send(h.claim(lane), queue.Record{})
	h.wantEvents("after the end", id, "held   b@example.org", "deferred main  ")
	h.wantEvents("sent at the first offer", other)
	if _, err := h.q.Events(context.Background(), "?"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("Events of an odd id: %v", err)
	}
}

// testEventsOfOperators: each action is on record with who did it, and to whom.
func testEventsOfOperators(t *testing.T, h *house) {
	id := h.add("x", mail("ann@example.com", "a@example.org"))
	ctx, all := context.Background(), queue.Filter{}
	act := func(what string, n queue.Changed, err error) {
		t.Helper()
		if n != (queue.Changed{Messages: 1, Recipients: 1}) || err != nil {
			t.Fatalf("%s: %+v, %v", what, n, err)
		}
	}
	n, err := h.q.Retry(ctx, all, "root")
	act("Retry", n, err)
	n, err = h.q.Hold(ctx, all, "uid 1000")
	act("Hold", n, err)
	if n, err := h.q.Hold(ctx, all, "nobody"); n.Messages != 0 || err != nil {
		t.Errorf("Hold of what is held: %d, %v", n, err)
	}
	n, err = h.q.Move(ctx, all, "relay", "token")
	act("Move", n, err)
	n, err = h.q.Release(ctx, all, "")
	act("Release", n, err)
	n, err = h.q.Delete(ctx, all, "page: ann")
	act("Delete", n, err)
	h.restart()
	h.wantEvents("after all", id, "retried main root a@example.org", "held main uid 1000 a@example.org", "moved main token a@example.org",
		"released relay  a@example.org", "deleted relay page: ann a@example.org")
}

// testEventsOfDivided: an action on some recipients of a part names these.
func testEventsOfDivided(t *testing.T, h *house) {
	m := mail("ann@example.com", "a@example.org", "b@example.org", "c@example.org")
	m.Parts[0].Progress.Attempts = 3
	id := h.add("x", m)
	if n, err := h.q.Retry(context.Background(), queue.Filter{To: "b@*"}, "root"); n.Messages != 1 || err != nil {
		t.Fatalf("Retry: %d, %v", n, err)
	}
	h.wantEvents("Retry of one", id, "retried main root b@example.org")
	if got := h.events(id)[0].Attempts; got != 3 {
		t.Errorf("offers until then: %d, want 3", got)
	}
}

// testEventsFenced: a result that is refused leaves no event.
func testEventsFenced(t *testing.T, h *house) {
	id := h.add("x", mail("ann@example.com", "a@example.org"))
	l := h.claim(lane)
	if err := l.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	err := l.Finish(context.Background(), queue.Result{Parts: l.Message().Parts, Events: []queue.Event{{Kind: queue.EventDeferred}}})
	if !errors.Is(err, queue.ErrFenced) {
		t.Fatalf("Finish: %v", err)
	}
	h.wantEvents("Finish that was fenced off", id)
}

func testNote(t *testing.T, h *house) {
	ctx := context.Background()
	waits, ended := h.add("x", mail("ann@example.com", "a@example.org")), ""
	h.send(h.claim(lane), queue.Record{})
	ended, waits = waits, h.add("x", mail("ann@example.com", "b@example.org"))
	h.must("Note", h.q.Note(ctx, queue.Event{ID: waits, Kind: "opened"}, queue.Event{ID: ended, Kind: "bounced", Upstream: "mg"}))
	h.must("Note of nothing", h.q.Note(ctx))
	for _, id := range []string{"0000000000001", "?"} {
		if err := h.q.Note(ctx, queue.Event{ID: waits, Kind: "lost"}, queue.Event{ID: id, Kind: "lost"}); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Note of message %s: %v", id, err)
		}
	}
	h.restart()
	h.wantEvents("Note of one that waits", waits, "opened   ")
	h.wantEvents("Note of one that ended", ended, "bounced mg  ")
}

// testEventsPruned: events go with the history, but stay while their message waits.
func testEventsPruned(t *testing.T, h *house) {
	ended := h.add("x", mail("ann@example.com", "a@example.org"))
	h.must("Note", h.q.Note(context.Background(), queue.Event{ID: ended, Kind: queue.EventDeferred}))
	h.send(h.claim(lane), queue.Record{At: time.Now().Add(-time.Hour)})
	waits := h.add("x", mail("ann@example.com", "a@example.org", "b@example.org"))
	l := h.claim(lane)
	to := l.Message().Parts[0].To
	h.finish(l, queue.Result{Done: []queue.Record{{Recipient: to[0], State: envelope.Sent, At: time.Now().Add(-time.Hour)}},
		Parts: []queue.Part{{To: to[1:], Lane: "b", State: envelope.Queued}}, Events: []queue.Event{{Kind: queue.EventFailover, Upstream: "b"}}})
	h.prune(queue.Keep{SentAfter: time.Now().Add(-2 * time.Hour)})
	h.wantEvents("young", ended, "deferred   ")
	h.prune(queue.Keep{SentAfter: time.Now().Add(-time.Minute)})
	h.wantEvents("old", ended)
	h.wantEvents("of mail that waits", waits, "failover b  ")
	h.send(h.claim("b"), queue.Record{At: time.Now().Add(-time.Hour)})
	h.prune(queue.Keep{SentAfter: time.Now().Add(-time.Minute)})
	h.wantEvents("at last", waits)
}

func testPause(t *testing.T, h *house) {
	ctx := context.Background()
	drain := func() (signalled bool) {
		select {
		case <-h.q.Changed():
			return true
		default:
			return false
		}
	}
	want := func(what string, by map[string]string) {
		t.Helper()
		got, err := h.q.Paused(ctx)
		h.must("Paused", err)
		for lane, p := range got {
			if p.By != by[lane] || time.Since(p.At) > time.Minute {
				t.Errorf("%s: %s is paused by %q at %v", what, lane, p.By, p.At)
			}
		}
		if len(got) != len(by) {
			t.Errorf("%s: %v, want %v", what, got, by)
		}
	}
	want("at first", nil)
	drain()
	h.must("Pause", h.q.Pause(ctx, "a", "root"))
	if !drain() {
		t.Error("no token in Changed after Pause")
	}
	h.must("Pause", h.q.Pause(ctx, "b", ""))
	h.must("second Pause", h.q.Pause(ctx, "a", "other"))
	h.restart()
	want("after a restart", map[string]string{"a": "root", "b": ""})
	drain()
	h.must("Resume", h.q.Resume(ctx, "a"))
	if !drain() {
		t.Error("no token in Changed after Resume")
	}
	h.must("second Resume", h.q.Resume(ctx, "a"))
	want("after Resume", map[string]string{"b": ""})
	h.add("x", mail("ann@example.com", "a@example.org"))
	h.must("Pause", h.q.Pause(ctx, lane, "root"))
	h.send(h.claim(lane), queue.Record{}) // the store leaves it to delivery to obey
}

package feedbacktest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// testOrder: the state does not depend on the order in which events are told, and the history has that of their times.
func testOrder(t *testing.T, h *house) {
	const d, b, s, c, o, f = queue.EventDelivered, queue.EventBounced, queue.EventSoftBounced, queue.EventComplained, queue.EventOpened, queue.EventFailed
	for _, test := range []struct {
		kinds []queue.EventKind // in the order of their times
		want  envelope.State
	}{
		{[]queue.EventKind{d}, envelope.Delivered},
		{[]queue.EventKind{d, b}, envelope.Bounced},
		{[]queue.EventKind{b, d}, envelope.Delivered},
		{[]queue.EventKind{f, c}, envelope.Complained},
		{[]queue.EventKind{c, d, b}, envelope.Complained},
		{[]queue.EventKind{s, d, o}, envelope.Delivered},
		{[]queue.EventKind{o, s}, envelope.Sent},
		{[]queue.EventKind{queue.EventDeferred, queue.EventSuppressed}, envelope.Bounced},
	} {
		for _, order := range permutations(len(test.kinds)) {
			id := h.sent("p", "ann@example.org")
			at := now()
			var events []string
			for _, k := range test.kinds {
				events = append(events, string(k)+" ann@example.org")
			}
			for _, i := range order {
				done := h.apply(queue.Told{ID: id, Recipient: "ann@example.org", Kind: test.kinds[i], At: at.Add(time.Duration(i) * time.Second), Key: fmt.Sprint(id, i)})
				if len(done.Joined) != 1 {
					t.Errorf("%v %v: %+v", test.kinds, order, done)
				}
			}
			what := fmt.Sprint(test.kinds, order)
			h.wantStates(what, id, "ann@example.org "+string(test.want))
			h.wantEvents(what, id, events...)
		}
	}
}

func permutations(n int) [][]int {
	if n == 1 {
		return [][]int{{0}}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for at := range n {
			q := append(append(append([]int{}, p[:at]...), n-1), p[at:]...)
			all = append(all, q)
		}
	}
	return all
}

// testLateBounce: a late bounce stays, over a restart, until one message reports it, and comes back by nothing.
func testLateBounce(t *testing.T, h *house) {
	ctx := context.Background()
	id := h.sent("p-1", "ann@example.org", "bob@example.org", "eve@example.org")
	at := now()
	bounce := func(to, key string, kind queue.EventKind, at time.Time) queue.Told {
		return queue.Told{ID: id, Recipient: to, Kind: kind, At: at, Words: "550 no " + to, Status: "5.1.1", RemoteMTA: "mx.example.org", Key: key}
	}
	h.apply(bounce("ann@example.org", "1", queue.EventBounced, at))
	h.apply(bounce("bob@example.org", "2", queue.EventSuppressed, at), bounce("eve@example.org", "3", queue.EventFailed, at))
	h.stop()
	h.start()
	list := h.late()
	if len(list) != 3 {
		t.Fatalf("%d late bounces, want 3", len(list))
	}
	if page, err := h.q.LateBounces(ctx, list[0].Key, 1); err != nil || len(page) != 1 || page[0].Key != list[1].Key {
		t.Errorf("the second page: %+v %v", page, err)
	}
	if _, err := h.q.LateBounces(ctx, "?", 1); !errors.Is(err, queue.ErrPlace) {
		t.Errorf("behind an invalid key: %v", err)
	}
	first := list[0]
	if first.Record.ID != id || first.Record.From != sender || first.Record.Recipient.Address != "ann@example.org" || first.Record.State != envelope.Bounced ||
		first.Told.Status != "5.1.1" || first.Told.Words != "550 no ann@example.org" || first.Told.RemoteMTA != "mx.example.org" || !first.Told.At.Equal(at) {
		t.Errorf("late bounce %+v", first)
	}
	report := queue.Accepted{Envelope: envelope.Envelope{To: []envelope.Recipient{{Address: sender}}}, Reports: []string{list[0].Key, list[1].Key}}
	report.Parts = []queue.Part{{To: report.Envelope.To, Lane: up, State: envelope.Queued}}
	if _, err := h.commit(report); err != nil {
		t.Errorf("Commit of a report: %v", err)
	}
	report.Reports = []string{list[2].Key, list[1].Key}
	if _, err := h.commit(report); !errors.Is(err, queue.ErrReported) {
		t.Errorf("Commit of a second report: %v", err)
	}
	report.Reports = []string{"?"}
	if _, err := h.commit(report); !errors.Is(err, queue.ErrReported) {
		t.Errorf("Commit with an invalid key: %v", err)
	}
	if left := h.late(); len(left) != 1 || left[0].Key != list[2].Key {
		t.Errorf("left: %+v", left)
	}
	h.must("Dismiss", h.q.Dismiss(ctx, list[2].Key, list[0].Key))
	h.apply(bounce("ann@example.org", "4", queue.EventDelivered, at.Add(time.Second)), bounce("ann@example.org", "5", queue.EventBounced, at.Add(2*time.Second)))
	if left := h.late(); len(left) != 0 {
		t.Errorf("a second late bounce of a recipient: %+v", left)
	}
	waiting, err := h.q.List(ctx, queue.Filter{}, queue.Page{})
	if err != nil || len(waiting) != 1 {
		t.Errorf("%d reports, %v; want 1", len(waiting), err)
	}
	h.wantStates("all", id, "ann@example.org bounced", "bob@example.org bounced", "eve@example.org bounced")
}

// testNoLateBounce: nobody is told of what a sender does not hear of, or what has no sender.
func testNoLateBounce(t *testing.T, h *house) {
	null := h.accept("", "ann@example.org")
	h.take(up, "p-1")
	id := h.sent("p-2", "ann@example.org", "bob@example.org")
	at := now()
	h.apply(queue.Told{ID: null, Recipient: "ann@example.org", Kind: queue.EventBounced, At: at},
		queue.Told{ID: id, Recipient: "ann@example.org", Kind: queue.EventSoftBounced, At: at},
		queue.Told{ID: id, Recipient: "ann@example.org", Kind: queue.EventComplained, At: at},
		queue.Told{ID: id, Recipient: "bob@example.org", Kind: queue.EventDelivered, At: at},
		queue.Told{ID: id, Recipient: "bob@example.org", Kind: queue.EventBounced, At: at.Add(-time.Second)})
	if late := h.late(); len(late) != 0 {
		t.Errorf("late bounces %+v", late)
	}
	h.wantStates("null sender", null, "ann@example.org bounced")
	h.wantStates("others", id, "ann@example.org complained", "bob@example.org delivered")
	failed := h.accept(sender, "ann@example.org")
	leases, err := h.q.Claim(context.Background(), up, 1, time.Minute)
	h.must("Claim", err)
	h.must("Finish", leases[0].Finish(context.Background(), queue.Result{Done: []queue.Record{{Recipient: envelope.Recipient{Address: "ann@example.org"}, State: envelope.Failed, Upstream: up}}}))
	if done := h.apply(queue.Told{ID: failed, Recipient: "ann@example.org", Kind: queue.EventBounced, At: at}); len(done.Joined) != 1 || done.Joined[0].Report || done.Joined[0].Changed {
		t.Errorf("a recipient that the gateway has given up: %+v", done)
	}
	h.wantStates("given up", failed, "ann@example.org failed")
}

// testCursor: it is kept with the news of its upstream.
func testCursor(t *testing.T, h *house) {
	ctx := context.Background()
	want := func(upstream, want string) {
		t.Helper()
		if got, err := h.q.Cursor(ctx, upstream); got != want || err != nil {
			t.Errorf("cursor of %s: %q %v, want %q", upstream, got, err, want)
		}
	}
	want(up, "")
	for _, n := range []queue.News{{Upstream: up, Cursor: "1"}, {Upstream: "b", Cursor: "x"}, {Upstream: up, Cursor: "2"}, {Upstream: up}} {
		_, err := h.q.Apply(ctx, n)
		h.must("Apply", err)
	}
	h.stop()
	h.start()
	want(up, "2")
	want("b", "x")
}

// testNonce: news with a nonce are taken in once.
func testNonce(t *testing.T, h *house) {
	ctx := context.Background()
	id := h.sent("p-1", "ann@example.org")
	n := queue.News{Upstream: up, Nonce: "n1", Told: []queue.Told{{ID: id, Recipient: "ann@example.org", Kind: queue.EventDelivered, At: now()}}}
	if done, err := h.q.Apply(ctx, n); err != nil || done.Replay || len(done.Joined) != 1 {
		t.Errorf("first: %+v %v", done, err)
	}
	n.Told[0].Kind = queue.EventBounced
	n.Cursor = "1"
	if done, err := h.q.Apply(ctx, n); err != nil || !done.Replay || len(done.Joined) != 0 {
		t.Errorf("replay: %+v %v", done, err)
	}
	h.wantStates("replay", id, "ann@example.org delivered")
	if cursor, err := h.q.Cursor(ctx, up); cursor != "" || err != nil {
		t.Errorf("cursor %q %v", cursor, err)
	}
	n.Upstream = "b"
	if done, err := h.q.Apply(ctx, n); err != nil || done.Replay {
		t.Errorf("another upstream's: %+v %v", done, err)
	}
}

// testAwaited: the oldest mail counts of which nothing final was told.
func testAwaited(t *testing.T, h *house) {
	ctx, start := context.Background(), now()
	want := func(what string, since time.Time, some bool) {
		t.Helper()
		at, err := h.q.Awaited(ctx, up, since)
		if err != nil || at.IsZero() == some || some && (at.Before(start) || at.After(time.Now())) {
			t.Errorf("%s: %v %v", what, at, err)
		}
	}
	want("nothing was sent", time.Time{}, false)
	h.accept(sender, "ann@example.org")
	h.take("other", "p-0")
	want("by another upstream", time.Time{}, false)
	id := h.sent("p-1", "ann@example.org", "bob@example.org")
	want("two", start, true)
	want("not since then", time.Now().Add(time.Minute), false)
	h.apply(queue.Told{ID: id, Recipient: "ann@example.org", Kind: queue.EventDelivered, At: now()}, queue.Told{ID: id, Recipient: "bob@example.org", Kind: queue.EventDeferred, At: now()})
	want("one", start, true)
	h.apply(queue.Told{ID: id, Recipient: "bob@example.org", Kind: queue.EventBounced, At: now()})
	want("none", start, false)
}

// testSearch: records are found by their new states among many.
func testSearch(t *testing.T, h *house) {
	ids := map[string]string{}
	const many = 5
	for i := range many {
		p := fmt.Sprint("p-", i)
		ids[p] = h.sent(p, numbered(500)...)
	}
	at := now()
	h.apply(queue.Told{ProviderID: "p-0", Recipient: "r7@example.org", Kind: queue.EventBounced, At: at},
		queue.Told{ProviderID: "p-1", Recipient: "r499@example.org", Kind: queue.EventComplained, At: at},
		queue.Told{ProviderID: "p-4", Recipient: "r0@example.org", Kind: queue.EventDelivered, At: at})
	for state, want := range map[envelope.State]string{envelope.Bounced: "p-0 r7@example.org", envelope.Complained: "p-1 r499@example.org", envelope.Delivered: "p-4 r0@example.org"} {
		list, err := h.q.Search(context.Background(), queue.HistoryFilter{State: state})
		if err != nil || len(list) != 1 || list[0].ProviderID+" "+list[0].Recipient.Address != want {
			t.Errorf("%s: %+v %v, want %s", state, list, err, want)
		}
	}
	list, err := h.q.Search(context.Background(), queue.HistoryFilter{State: envelope.Sent})
	if err != nil || len(list) != many*500-3 {
		t.Errorf("%d are sent, %v", len(list), err)
	}
}

// testPrivacy: hidden addresses are joined, and nothing that is told shows them.
func testPrivacy(t *testing.T, h *house) {
	h.must("SetPrivacy", h.q.SetPrivacy(queue.HideAddresses))
	id := h.sent("p-1", "ann@example.org", "bob@example.org")
	told := queue.Told{ProviderID: "p-1", Recipient: "ann@example.org", Kind: queue.EventDelivered, At: now(), Words: "250 ann@example.org is here", Key: "1"}
	if done := h.apply(told); len(done.Joined) != 1 {
		t.Fatalf("%+v", done)
	}
	told.Key = "2"
	if done := h.apply(told); len(done.Joined) != 0 {
		t.Errorf("again: %+v", done)
	}
	if r := h.record(id, "ann@example.org"); r.State != envelope.Delivered || r.Recipient.Address == "ann@example.org" {
		t.Errorf("record %+v", r)
	}
	events, err := h.q.Events(context.Background(), id)
	if err != nil || len(events) != 1 || events[0].To[0] == "ann@example.org" || events[0].Words == told.Words {
		t.Errorf("events %+v %v", events, err)
	}
}

// testPruned: what is told goes with its record.
func testPruned(t *testing.T, h *house) {
	id := h.sent("p-1", "ann@example.org")
	h.apply(queue.Told{ID: id, Recipient: "ann@example.org", Kind: queue.EventBounced, At: now()})
	h.await(func() bool {
		_, err := h.q.Prune(context.Background(), queue.Keep{SentAfter: time.Now().Add(time.Minute)})
		h.must("Prune", err)
		list, err := h.q.Search(context.Background(), queue.HistoryFilter{ID: id})
		h.must("Search", err)
		return len(list) == 0
	})
	_, err := h.q.Prune(context.Background(), queue.Keep{})
	h.must("Prune", err)
	if late := h.late(); len(late) != 0 {
		t.Errorf("late bounces %+v", late)
	}
	h.wantEvents("pruned", id)
}

package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// dueAt accepts a message that is due at a time.
func (h *house) dueAt(in string, at time.Time) string {
	h.Helper()
	m := accepted("ann@example.com", "bob@example.org")
	m.Parts[0].NextAt, m.Parts[0].Lane = at, in
	return h.commit([]byte("x"), m)
}

func testClaimOrder(t *testing.T, h *house) {
	now := time.Now()
	second := h.dueAt(lane, now.Add(-2*time.Minute))
	third := h.dueAt(lane, now.Add(-time.Minute))
	first := h.dueAt(lane, now.Add(-3*time.Minute))
	h.dueAt(lane, now.Add(time.Hour))
	var got []queue.Lease
	got = append(got, h.claim(2)...)
	if len(got) != 2 {
		t.Fatalf("Claim of 2: got %d", len(got))
	}
	got = append(got, h.claim(5)...)
	for i, want := range []string{first, second, third} {
		if len(got) != 3 || got[i].Message().ID != want {
			t.Fatalf("claimed %d parts, number %d is not the one that was due longest", len(got), i)
		}
	}
	for _, max := range []int{0, -1, 5} {
		if n := len(h.claim(max)); n != 0 {
			t.Errorf("Claim(%d) with nothing due: got %d", max, n)
		}
	}
}

func testClaimLanes(t *testing.T, h *house) {
	began := time.Now()
	at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	past := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	h.dueAt("later", at.Add(time.Hour))
	h.dueAt("later", at)
	h.dueAt("due", past)
	h.dueAt("due", past.Add(time.Minute))
	want := map[string]queue.Lane{"later": {Queued: 2, NextAt: at}, "due": {Queued: 2, NextAt: past}}
	h.lanes("Lanes (-want +got)", func(lanes map[string]queue.Lane) string { return alike(lanes, want) })
	for _, in := range []string{"later", "none", ""} {
		if got, err := h.q.Claim(context.Background(), in, 10, longTime); err != nil || len(got) != 0 {
			t.Errorf("Claim(%q): got %d leases, %v", in, len(got), err)
		}
	}
	leases, err := h.q.Claim(context.Background(), "due", 1, longTime)
	h.must("Claim", err)
	h.lanes("lane with a lease, where the part that is free is the next", func(lanes map[string]queue.Lane) string {
		return alike(lanes["due"], queue.Lane{Queued: 2, NextAt: past.Add(time.Minute)})
	})
	_, err = h.q.Claim(context.Background(), "due", 1, longTime)
	h.must("Claim", err)
	h.lanes("lane with nothing but leases", func(lanes map[string]queue.Lane) string {
		if got := lanes["due"]; got.Queued != 2 || !got.NextAt.After(began) {
			return fmt.Sprintf("got %+v, want the end of a lease as the next", got)
		}
		return ""
	})
	h.finish(leases[0], sent(leases[0]))
	h.lanes("lane after Finish (-want +got)", func(lanes map[string]queue.Lane) string { return alike(lanes["due"].Queued, 1) })
}

func testServe(t *testing.T, h *house) {
	h.dueAt("mine", time.Now())
	h.dueAt("unknown", time.Now())
	for _, served := range [][]string{nil, {"mine", "empty"}, {"other"}} {
		h.must("Serve", h.q.Serve(context.Background(), served))
		h.lanes(fmt.Sprintf("Serve(%v)", served), func(lanes map[string]queue.Lane) string {
			if got, want := lanes["mine"].Served, slices.Contains(served, "mine"); got != want || lanes["unknown"].Served {
				return fmt.Sprintf("Lanes returned %+v", lanes)
			}
			return ""
		})
	}
}

// claimAgain waits until the part whose lease was short is given out again.
func (h *house) claimAgain() queue.Lease {
	h.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if leases := h.claim(1); len(leases) == 1 {
			return leases[0]
		}
	}
	h.Fatal("the part was not given out again after its lease")
	return nil
}

func testLeaseEnds(t *testing.T, h *house) {
	ctx := context.Background()
	h.add("bob@example.org")
	began := time.Now()
	short, err := h.q.Claim(ctx, lane, 1, 20*time.Millisecond)
	h.must("Claim", err)
	old, current := short[0], h.claimAgain()
	if d := time.Since(began); d < 10*time.Millisecond {
		t.Errorf("the part was given out again after %v", d)
	}
	for what, err := range map[string]error{
		"Finish": old.Finish(ctx, sent(old)), "Extend": old.Extend(ctx, longTime), "Release": old.Release(ctx),
	} {
		if !errors.Is(err, queue.ErrFenced) {
			t.Errorf("%s of a lost lease: got %v, want ErrFenced", what, err)
		}
	}
	if n := len(h.claim(1)); n != 0 {
		t.Error("the part was given out while leased")
	}
	h.finish(current, sent(current))
	if err := current.Finish(ctx, sent(current)); !errors.Is(err, queue.ErrFenced) {
		t.Errorf("second Finish: got %v, want ErrFenced", err)
	}
	if n := len(h.history(queue.HistoryFilter{})); n != 1 {
		t.Errorf("%d records, want 1", n)
	}

	h.add("bob@example.org")
	short, err = h.q.Claim(ctx, lane, 1, 20*time.Millisecond)
	h.must("Claim", err)
	h.must("Extend", short[0].Extend(ctx, longTime))
	for end := time.Now().Add(60 * time.Millisecond); time.Now().Before(end); {
		if n := len(h.claim(1)); n != 0 {
			t.Fatal("the part was given out while its lease was extended")
		}
	}
	h.finish(short[0], sent(short[0]))
}

func testLeaseRelease(t *testing.T, h *house) {
	ctx := context.Background()
	h.add("bob@example.org")
	first := h.claimOne()
	h.drain()
	h.must("Release", first.Release(ctx))
	h.wantChanged("Release")
	second := h.claimOne()
	if err := first.Finish(ctx, sent(first)); !errors.Is(err, queue.ErrFenced) {
		t.Errorf("Finish after Release: got %v, want ErrFenced", err)
	}
	if second.Message().Parts[0].Progress.Attempts != 0 {
		t.Error("Release changed the progress")
	}
	h.finish(second, sent(second))
}

func testFinish(t *testing.T, h *house) {
	m := full()
	m.Parts = []queue.Part{{To: m.Envelope.To, Lane: lane, State: envelope.Queued}}
	id := h.commit(bytesOf(1, 5000), m)
	l := h.claimOne()
	at := time.Now().Truncate(time.Millisecond)
	var r queue.Result
	for i, to := range m.Envelope.To {
		state := []envelope.State{envelope.Sent, envelope.Failed, envelope.Discarded}[i]
		r.Done = append(r.Done, queue.Record{
			Recipient: to, State: state, At: at, Upstream: "main", ProviderID: "p-ü", Error: "nein\x00", Attempts: i + 1,
		})
	}
	h.finish(l, r)
	if n := len(h.list(queue.Filter{})); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	if _, err := h.q.Body(context.Background(), id); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("Body: got %v, want ErrNotFound", err)
	}
	h.restart()
	got := h.history(queue.HistoryFilter{})
	if len(got) != len(r.Done) {
		t.Fatalf("%d records, want %d", len(got), len(r.Done))
	}
	for i, want := range r.Done {
		want.ID, want.From, want.Header, want.Size, want.Received = id, m.Envelope.From, m.Header, 5000, m.Envelope.Received
		want.Key, want.Gateway = got[len(got)-1-i].Key, got[len(got)-1-i].Gateway
		if shared := h.q.Fleet() != nil; shared != (want.Gateway != "") {
			t.Errorf("the record names gateway %q; shared: %v", want.Gateway, shared)
		}
		if diff := alike(got[len(got)-1-i], want); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
	}
}

func testFinishSplits(t *testing.T, h *house) {
	m := accepted("ann@example.com", "a@example.org", "b@example.org", "c@example.org", "d@example.org")
	to := m.Envelope.To
	h.commit([]byte("x"), m)
	l := h.claimOne()
	later := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	progress := envelope.Progress{Attempts: 1, Upstream: "main", Error: "busy", Class: "temporary"}
	parts := []queue.Part{
		{To: to[1:2], Lane: "other", State: envelope.Queued, NextAt: time.Now().Add(-time.Second).Truncate(time.Millisecond), Progress: progress},
		{To: to[2:3], Lane: lane, State: envelope.Queued, NextAt: later, Progress: progress},
		{To: to[3:], Lane: lane, State: envelope.Failed, Progress: progress},
	}
	h.finish(l, queue.Result{Done: []queue.Record{{Recipient: to[0], State: envelope.Sent}}, Parts: parts})
	h.restart()
	if diff := alike(h.only().Parts, parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	records := h.history(queue.HistoryFilter{})
	if len(records) != 1 || time.Since(records[0].At) > time.Minute {
		t.Errorf("records: %+v, want one of now", records)
	}
	if n := len(h.claim(10)); n != 0 {
		t.Errorf("%d parts are due in the lane, want none", n)
	}
	leases, err := h.q.Claim(context.Background(), "other", 10, longTime)
	h.must("Claim", err)
	if len(leases) != 1 {
		t.Fatalf("%d parts are due in the other lane, want 1", len(leases))
	}
	h.finish(leases[0], sent(leases[0]))
	if diff := alike(h.only().Parts, parts[1:]); diff != "" {
		t.Errorf("parts that are left (-want +got):\n%s", diff)
	}
}

func testFinishRefuses(t *testing.T, h *house) {
	m := accepted("ann@example.com", "a@example.org", "b@example.org")
	to := m.Envelope.To
	h.commit([]byte("x"), m)
	l := h.claimOne()
	done := func(i int) queue.Record { return queue.Record{Recipient: to[i], State: envelope.Sent} }
	for _, c := range []struct {
		name string
		r    queue.Result
	}{
		{"nothing", queue.Result{}},
		{"one left out", queue.Result{Done: []queue.Record{done(0)}}},
		{"one twice", queue.Result{Done: []queue.Record{done(0), done(1)}, Parts: []queue.Part{{To: to[:1], Lane: lane, State: envelope.Queued}}}},
		{"a stranger", queue.Result{Done: []queue.Record{done(0), done(1), {Recipient: envelope.Recipient{Address: "x@example.org"}, State: envelope.Sent}}}},
		{"a record that waits", queue.Result{Done: []queue.Record{done(0), {Recipient: to[1], State: envelope.Queued}}}},
		{"a part that is sent", queue.Result{Done: []queue.Record{done(0)}, Parts: []queue.Part{{To: to[1:], Lane: lane, State: envelope.Sent}}}},
	} {
		if err := l.Finish(context.Background(), c.r); err == nil || errors.Is(err, queue.ErrFenced) {
			t.Errorf("%s: Finish gave %v, want an error that leaves the lease", c.name, err)
		}
	}
	other := []envelope.Recipient{{Address: "x@example.org", Given: "a@example.org"}}
	forgetful := queue.Result{Parts: []queue.Part{{To: other, Lane: lane, State: envelope.Queued}}, Instead: append(other, to[1])}
	if err := l.Finish(context.Background(), forgetful); err == nil || errors.Is(err, queue.ErrFenced) {
		t.Errorf("one of the new recipients is left out: %v", err)
	}
	h.finish(l, queue.Result{Parts: []queue.Part{{To: other, Lane: lane, State: envelope.Queued}}, Done: []queue.Record{done(1)}, Instead: append(other, to[1])})
	if parts := h.only().Parts; len(parts) != 1 || len(parts[0].To) != 1 || parts[0].To[0].Address != other[0].Address || parts[0].To[0].Given != other[0].Given {
		t.Errorf("the part with another recipient: %+v", parts)
	}
}

func testCanceled(t *testing.T, h *house) {
	h.add("bob@example.org")
	l := h.claimOne()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d, err := h.q.New(context.Background())
	h.must("New", err)
	_, err = d.Write([]byte("x"))
	h.must("Write", err)
	// With a context that has ended, a call may succeed or fail, but what it says must be true.
	committed := d.Commit(ctx, accepted("a@example.com", "b@example.org")) == nil
	if got := len(h.list(queue.Filter{IDs: []string{d.ID()}})) == 1; got != committed {
		t.Errorf("Commit succeeded: %v, the message is there: %v", committed, got)
	}
	if err := l.Finish(ctx, sent(l)); err != nil {
		if n := len(h.history(queue.HistoryFilter{})); n != 0 {
			t.Errorf("Finish failed and left %d records", n)
		}
		h.finish(l, sent(l))
	}
	for what, call := range map[string]func() error{
		"Claim": func() error { _, err := h.q.Claim(ctx, lane, 1, longTime); return err },
		"Lanes": func() error { _, err := h.q.Lanes(ctx); return err },
		"List":  func() error { _, err := h.q.List(ctx, queue.Filter{}, queue.Page{}); return err },
		"Stats": func() error { _, err := h.q.Stats(ctx); return err },
	} {
		if err := call(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", what, err)
		}
	}
}

// drain takes the token of Changed away.
func (h *house) drain() {
	select {
	case <-h.q.Changed():
	default:
	}
}

func (h *house) wantChanged(after string) {
	h.Helper()
	select {
	case <-h.q.Changed():
	case <-time.After(5 * time.Second):
		h.Errorf("no token in Changed after %s", after)
	}
}

func testChanged(t *testing.T, h *house) {
	ctx := context.Background()
	h.drain()
	id := h.add("bob@example.org")
	h.wantChanged("Commit")
	l := h.claimOne()
	part := l.Message().Parts[0]
	part.NextAt = time.Now().Add(time.Hour)
	h.finish(l, queue.Result{Parts: []queue.Part{part}})
	h.wantChanged("Finish with a part that waits")
	h.must("Hasten", h.q.Hasten(ctx, lane, time.Time{}))
	h.wantChanged("Hasten")
	_, err := h.q.Retry(ctx, one(id), operator)
	h.must("Retry", err)
	h.wantChanged("Retry")
	_, err = h.q.Hold(ctx, one(id), operator)
	h.must("Hold", err)
	h.drain()
	_, err = h.q.Release(ctx, one(id), operator)
	h.must("Release", err)
	h.wantChanged("Release")
	for range 3 {
		h.add("bob@example.org") // tokens do not pile up and nothing blocks
	}
}

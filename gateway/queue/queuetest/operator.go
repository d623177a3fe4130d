package queuetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// operator is who acts.
const operator = "root"

type act func(ctx context.Context, f queue.Filter, by string) (queue.Changed, error)

// act calls an operator's method for messages and compares the count.
func (h *house) act(what string, call act, want int, ids ...string) {
	h.Helper()
	h.actOn(what, call, want, queue.Filter{IDs: append([]string{}, ids...)})
}

func (h *house) actOn(what string, call act, want int, f queue.Filter) {
	h.Helper()
	got, err := call(context.Background(), f, operator)
	h.must(what, err)
	if got.Messages != want {
		h.Errorf("%s(%+v): changed %+v, want %d", what, f, got, want)
	}
}

func one(id string) queue.Filter { return queue.Filter{IDs: []string{id}} }

// inStates commits a message with a part in each waiting state.
func (h *house) inStates() string {
	h.Helper()
	m := accepted("ann@example.com", "q@example.org", "h@example.org", "f@example.org")
	to := m.Envelope.To
	p := envelope.Progress{Attempts: 4, FirstAttempt: time.Now().Add(-time.Hour), Upstream: "main", Error: "busy"}
	m.Parts = []queue.Part{
		{To: to[:1], Lane: lane, State: envelope.Queued, NextAt: time.Now().Add(time.Hour), Progress: p},
		{To: to[1:2], Lane: lane, State: envelope.Held, Progress: p},
		{To: to[2:], Lane: lane, State: envelope.Failed, Progress: p},
	}
	return h.commit([]byte("x"), m)
}

// wantStates compares the states of a message's parts by recipient.
func (h *house) wantStates(what, id, want string) {
	h.Helper()
	got := ""
	for _, m := range h.list(queue.Filter{IDs: []string{id}}) {
		for _, p := range m.Parts {
			for _, to := range p.To {
				got += to.Address[:1] + ":" + string(p.State) + " "
			}
		}
	}
	if got != want {
		h.Errorf("%s: states %q, want %q", what, got, want)
	}
}

const noSuchID = "0000000000001"

func testRetry(t *testing.T, h *house) {
	id := h.inStates()
	h.act("Retry", h.q.Retry, 0)
	h.act("Retry", h.q.Retry, 0, noSuchID, "", "?")
	h.act("Retry", h.q.Retry, 1, id, noSuchID, id)
	h.wantStates("Retry", id, "q:queued h:held f:queued ")
	leases := h.claim(10)
	if len(leases) != 2 {
		t.Fatalf("%d parts are due, want 2", len(leases))
	}
	for _, l := range leases {
		got := l.Message().Parts[0].Progress
		if time.Since(got.Renewed) > time.Minute {
			t.Errorf("Retry left Renewed at %v", got.Renewed)
		}
		got.Renewed = time.Time{}
		if diff := alike(got, envelope.Progress{Error: "busy"}); diff != "" {
			t.Errorf("progress after Retry (-want +got):\n%s", diff)
		}
	}

	m := accepted("ann@example.com", "u@example.org")
	since := time.Now().Add(-time.Hour)
	m.Parts[0].State = envelope.Held
	m.Parts[0].Progress = envelope.Progress{Attempts: 2, Upstream: "main", Since: since, Uncertain: true, Error: "reply lost"}
	uncertain := h.commit([]byte("x"), m)
	h.act("Retry of a held message", h.q.Retry, 0, uncertain)
	h.act("Release", h.q.Release, 1, uncertain)
	h.act("Retry", h.q.Retry, 1, uncertain)
	got := h.claimOne().Message().Parts[0].Progress
	if !got.Uncertain || got.Upstream != "main" || !got.Since.Equal(since) || got.Attempts != 0 {
		t.Errorf("progress of an uncertain part after Retry: %+v, want the upstream kept", got)
	}
}

func testHold(t *testing.T, h *house) {
	id := h.inStates()
	h.act("Hold", h.q.Hold, 1, id)
	h.wantStates("Hold", id, "q:held h:held f:failed ")
	if p := h.list(queue.Filter{IDs: []string{id}})[0].Parts[0].Progress; p.Hold == nil || p.Hold.By != operator || time.Since(p.Hold.At) > time.Minute || p.Error != "busy" {
		t.Errorf("progress after Hold: %+v, hold %+v", p, p.Hold)
	}
	h.act("second Hold", h.q.Hold, 0, id)
	if n := len(h.claim(10)); n != 0 {
		t.Errorf("%d held parts were given out", n)
	}
	h.restart()
	h.act("Release", h.q.Release, 1, id)
	h.wantStates("Release", id, "q:queued h:queued f:failed ")
	h.act("second Release", h.q.Release, 0, id)
	leases := h.claim(10)
	if len(leases) != 2 {
		t.Fatalf("%d parts are due after Release, want 2", len(leases))
	}
	for _, l := range leases {
		if p := l.Message().Parts[0].Progress; p.Attempts != 4 || !p.Released || p.Hold != nil || !p.Renewed.IsZero() || time.Since(p.Asked).Abs() > time.Minute {
			t.Errorf("progress after Hold and Release: %+v", p)
		}
	}
}

func testHoldDuringLease(t *testing.T, h *house) {
	id := h.add("bob@example.org")
	l := h.claimOne()
	if n, err := h.q.Hold(context.Background(), queue.Filter{IDs: []string{id}}, operator); n != (queue.Changed{Messages: 1, Recipients: 1, Offered: 1}) || err != nil {
		t.Errorf("Hold: %+v, %v", n, err)
	}
	h.finish(l, queue.Result{Parts: l.Message().Parts})
	h.wantStates("Finish of a part that was put on hold", id, "b:held ")
	if p := h.list(queue.Filter{IDs: []string{id}})[0].Parts[0].Progress; p.Hold == nil || p.Hold.By != operator {
		t.Errorf("who has put it on hold is not known: %+v", p)
	}
	h.act("Release", h.q.Release, 1, id)
	l = h.claimOne()
	h.act("Hold", h.q.Hold, 1, id)
	h.act("Retry", h.q.Retry, 0, id)
	h.finish(l, sent(l))
	if n := len(h.list(queue.Filter{})); n != 0 {
		t.Error("a part that was put on hold and sent is still there")
	}
	id = h.add("bob@example.org")
	l = h.claimOne()
	h.act("Retry", h.q.Retry, 1, id)
	if n := len(h.claim(10)); n != 0 {
		t.Error("Retry gave a leased part out again")
	}
	h.finish(l, sent(l))
}

func testDelete(t *testing.T, h *house) {
	id := h.inStates()
	other := h.commit(bytesOf(1, 1<<20), accepted("ann@example.com", "x@example.org"))
	h.act("Delete", h.q.Delete, 0)
	h.act("Delete", h.q.Delete, 0, noSuchID)
	h.act("Delete", h.q.Delete, 2, id, other)
	h.act("second Delete", h.q.Delete, 0, id, other)
	for _, gone := range []string{id, other} {
		if _, err := h.q.Body(context.Background(), gone); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Body: got %v, want ErrNotFound", err)
		}
	}
	records := h.history(queue.HistoryFilter{ID: id})
	if len(records) != 3 {
		t.Fatalf("%d records, want 3", len(records))
	}
	for _, r := range records {
		if r.State != envelope.Discarded || r.From != "ann@example.com" || r.Attempts != 4 || r.Error != "deleted by "+operator+"; last error: busy" {
			t.Errorf("record %+v", r)
		}
	}
}

func testDeleteDuringLease(t *testing.T, h *house) {
	ctx := context.Background()
	id := h.add("bob@example.org")
	l := h.claimOne()
	if n, err := h.q.Delete(ctx, queue.Filter{IDs: []string{id}}, operator); n != (queue.Changed{Busy: 1}) || err != nil {
		t.Errorf("Delete: %+v, %v", n, err)
	}
	if err := l.Finish(ctx, sent(l)); err != nil {
		t.Errorf("Finish: %v", err)
	}
	records := h.history(queue.HistoryFilter{})
	if len(records) != 1 || records[0].State != envelope.Sent {
		t.Errorf("records %+v, want what became of the offer", records)
	}
}

func testHasten(t *testing.T, h *house) {
	at := time.Now().Add(time.Hour)
	const parts = 1300 // more than an engine changes at once
	for range parts {
		h.dueAt(lane, at)
	}
	h.dueAt("other", at)
	held := accepted("ann@example.com", "h@example.org")
	held.Parts[0].State = envelope.Held
	h.commit([]byte("x"), held)
	h.must("Hasten of what is due later", h.q.Hasten(context.Background(), lane, at))
	if n := len(h.claim(parts * 2)); n != 0 {
		t.Errorf("%d parts are due that were to be left, want none", n)
	}
	later := h.dueAt(lane, at.Add(time.Minute))
	h.must("Hasten of what is due later", h.q.Hasten(context.Background(), lane, at))
	if leases := h.claim(parts * 2); len(leases) != 1 || leases[0].Message().ID != later {
		t.Errorf("%d parts are due, want the later one alone", len(leases))
	}
	h.must("Hasten", h.q.Hasten(context.Background(), lane, time.Time{}))
	if n := len(h.claim(parts * 2)); n != parts {
		t.Errorf("%d parts are due, want %d", n, parts)
	}
	if leases, err := h.q.Claim(context.Background(), "other", 10, longTime); err != nil || len(leases) != 0 {
		t.Errorf("another lane was hastened: %d leases, %v", len(leases), err)
	}
	h.must("Hasten of an empty lane", h.q.Hasten(context.Background(), "none", time.Time{}))
}

package queuetest

import (
	"context"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// testPartsByState: what is done to all parts in a state leaves the others of their messages alone.
func testPartsByState(t *testing.T, h *house) {
	id := h.inStates()
	body := h.body(id)
	h.actOn("Delete", h.q.Delete, 1, queue.Filter{State: envelope.Failed})
	h.wantStates("Delete of failed parts", id, "q:queued h:held ")
	if records := h.history(queue.HistoryFilter{}); len(records) != 1 || records[0].Recipient.Address != "f@example.org" || records[0].State != envelope.Discarded {
		t.Errorf("records after Delete of failed parts: %+v", records)
	}
	wantBytes(t, "Body of a message with a part left", h.body(id), body)
	h.actOn("second Delete", h.q.Delete, 0, queue.Filter{State: envelope.Failed})
	h.actOn("Retry of held parts", h.q.Retry, 0, queue.Filter{State: envelope.Held})
	h.actOn("Hold of failed parts", h.q.Hold, 0, queue.Filter{State: envelope.Failed})
	h.actOn("Release", h.q.Release, 1, queue.Filter{})
	h.wantStates("Release", id, "q:queued h:queued ")
	h.actOn("Delete of all", h.q.Delete, 1, queue.Filter{})
	if n := len(h.list(queue.Filter{})); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	if _, err := h.q.Delete(context.Background(), queue.Filter{State: envelope.Sent}, operator); err == nil {
		t.Error("Delete of parts that are sent: no error")
	}
}

// testPartsByField: lane, sender, subject, age and ids.
func testPartsByField(t *testing.T, h *house) {
	m := accepted("Ann@example.com", "r@example.org", "o@example.org")
	m.Header.Subject = "Invoice No. 7"
	m.Envelope.Received = time.Now().Add(-time.Hour)
	to := m.Envelope.To
	m.Parts = []queue.Part{{To: to[:1], Lane: "relay", State: envelope.Queued}, {To: to[1:], Lane: "other", State: envelope.Queued}}
	id := h.commit([]byte("x"), m)
	young := h.add("y@example.org")
	for _, c := range []struct {
		f    queue.Filter
		want string // of the first message once they are held
	}{
		{queue.Filter{Lane: "relay"}, "r:held o:queued "},
		{queue.Filter{From: "ann@*", Lane: "other"}, "r:queued o:held "},
		{queue.Filter{Subject: "invoice*"}, "r:held o:held "},
		{queue.Filter{Before: time.Now().Add(-time.Minute)}, "r:held o:held "},
		{queue.Filter{IDs: []string{id, noSuchID}, Lane: "relay"}, "r:held o:queued "},
	} {
		h.actOn("Hold", h.q.Hold, 1, c.f)
		h.wantStates("Hold", id, c.want)
		h.wantStates("Hold of another message", young, "y:queued ")
		h.actOn("Release", h.q.Release, 1, queue.Filter{})
	}
	for _, f := range []queue.Filter{
		{Lane: "none"}, {From: "bob@*"}, {Subject: "invoice"}, {Before: m.Envelope.Received}, {IDs: []string{}}, {IDs: []string{young}, Lane: "relay"},
	} {
		h.actOn("Hold", h.q.Hold, 0, f)
	}
}

// testPartsByRecipient: recipients that wait together are divided when some of them are named.
func testPartsByRecipient(t *testing.T, h *house) {
	m := accepted("ann@example.com", "a@example.org", "b@example.org", "c@example.net")
	m.Parts[0].Progress = envelope.Progress{Attempts: 2, Error: "busy"}
	m.Envelope.To[1].Given = "bob"
	id := h.commit([]byte("x"), m)
	h.actOn("Hold", h.q.Hold, 1, queue.Filter{To: "BOB"})
	h.wantStates("Hold of one", id, "a:queued c:queued b:held ")
	h.actOn("Delete", h.q.Delete, 1, queue.Filter{To: "*@example.net"})
	h.wantStates("Delete of one", id, "a:queued b:held ")
	if r := h.history(queue.HistoryFilter{}); len(r) != 1 || r[0].Recipient.Address != "c@example.net" || r[0].Attempts != 2 {
		t.Errorf("records: %+v", r)
	}
	h.restart()
	for _, p := range h.only().Parts {
		if p.Progress.Attempts != 2 || p.Progress.Error != "busy" || len(p.To) != 1 {
			t.Errorf("part %+v", p)
		}
	}
	h.actOn("Release", h.q.Release, 1, queue.Filter{To: "*"})
	leases := h.claim(10)
	for _, l := range leases {
		h.finish(l, sent(l))
	}
	if n := len(h.history(queue.HistoryFilter{})); len(leases) != 2 || n != 3 {
		t.Errorf("%d parts were due and %d records are there, want 2 and 3", len(leases), n)
	}
}

// testDivideDuringLease: an attempt is under way for all recipients of its part.
func testDivideDuringLease(t *testing.T, h *house) {
	id := h.commit([]byte("x"), accepted("ann@example.com", "a@example.org", "b@example.org"))
	l := h.claimOne()
	h.actOn("Delete of one leased recipient", h.q.Delete, 0, queue.Filter{To: "a@*"})
	h.actOn("Hold of all", h.q.Hold, 1, queue.Filter{To: "*"})
	h.finish(l, queue.Result{Done: []queue.Record{{Recipient: l.Message().Envelope.To[0], State: envelope.Sent}},
		Parts: []queue.Part{{To: l.Message().Envelope.To[1:], Lane: lane, State: envelope.Queued}}})
	h.wantStates("Finish", id, "b:held ")
}

func testMove(t *testing.T, h *house) {
	id := h.inStates()
	moveTo := func(lane string) act {
		return func(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
			return h.q.Move(ctx, f, lane, by)
		}
	}
	h.drain()
	h.actOn("Move", moveTo("next"), 1, queue.Filter{Lane: lane, State: envelope.Queued})
	h.wantChanged("Move")
	h.wantStates("Move", id, "q:queued h:held f:failed ")
	leases, err := h.q.Claim(context.Background(), "next", 10, longTime)
	h.must("Claim", err)
	if len(leases) != 1 || leases[0].Message().Parts[0].Progress.Attempts != 4 {
		t.Fatalf("%d parts are due in the new lane, want one with its progress", len(leases))
	}
	h.finish(leases[0], sent(leases[0]))
	h.actOn("Move of what is there", moveTo(lane), 0, queue.Filter{})
	h.actOn("Move of all", moveTo("next"), 1, queue.Filter{})
	h.wantStates("Move of all", id, "h:held f:failed ")
	for _, p := range h.only().Parts {
		if p.Lane != "next" {
			t.Errorf("%s is in lane %s", p.To[0].Address, p.Lane)
		}
	}
	h.lanes("queued (-want +got)", func(lanes map[string]queue.Lane) string { return alike(lanes, map[string]queue.Lane{}) })
}

// testMoveDuringLease: what is being offered stays where it is, and so does what may have been taken.
func testMoveDuringLease(t *testing.T, h *house) {
	m := accepted("ann@example.com", "a@example.org", "b@example.org")
	m.Parts = []queue.Part{{To: m.Envelope.To[:1], Lane: lane, State: envelope.Queued},
		{To: m.Envelope.To[1:], Lane: lane, State: envelope.Held, Progress: envelope.Progress{Upstream: lane, Uncertain: true}}}
	h.commit([]byte("x"), m)
	l := h.claimOne()
	move := func(what string, want queue.Changed) {
		t.Helper()
		if got, err := h.q.Move(context.Background(), queue.Filter{}, "next", operator); got != want || err != nil {
			t.Errorf("Move %s: %+v, %v; want %+v", what, got, err, want)
		}
	}
	move("during a lease", queue.Changed{Busy: 1})
	h.finish(l, queue.Result{Parts: []queue.Part{{To: m.Envelope.To[:1], Lane: lane, State: envelope.Queued, Progress: envelope.Progress{Attempts: 1, Refused: true,
		Passed: []string{"x"}, Unfit: []string{"next", "y"}}}}})
	move("after a lease", queue.Changed{Messages: 1, Recipients: 1})
	defer h.moveBack()
	for _, p := range h.only().Parts {
		want := envelope.Progress{Attempts: 1, Moved: "next", Unfit: []string{"y"}}
		if p.State == envelope.Held {
			want = m.Parts[1].Progress
		} else if want.Asked = p.Progress.Asked; time.Since(want.Asked).Abs() > time.Minute {
			t.Errorf("Move left Asked at %v", want.Asked)
		}
		if diff := alike(p.Progress, want); diff != "" || p.Lane == lane != (p.State == envelope.Held) {
			t.Errorf("%s is in lane %s: %s", p.To[0].Address, p.Lane, diff)
		}
	}
}

// moveBack gives mail that was moved to the lane next back to the routes, and no other.
func (h *house) moveBack() {
	h.Helper()
	for _, want := range []queue.Changed{{Messages: 1, Recipients: 1}, {}} {
		if got, err := h.q.Move(context.Background(), queue.Filter{}, "", operator); got != want || err != nil {
			h.Errorf("Move back: %+v, %v; want %+v", got, err, want)
		}
	}
	m := h.only()
	for _, p := range m.Parts {
		if p.Progress.Moved != "" || p.State == envelope.Queued && p.Lane != "next" {
			h.Errorf("after Move back: %+v", p)
		}
	}
	events, err := h.q.Events(context.Background(), m.ID)
	h.must("Events", err)
	if last := events[len(events)-1]; last.Kind != queue.EventMoved || last.Lane != "" || last.By != operator || last.Words != "back to the routes" {
		h.Errorf("event %+v", last)
	}
}

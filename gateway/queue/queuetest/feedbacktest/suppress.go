package feedbacktest

import (
	"context"
	"slices"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

// wantSuppressed compares why addresses get no mail from the sender of this suite.
func (h *house) wantSuppressed(what string, addresses []string, want ...string) {
	h.Helper()
	list, err := h.q.Suppressed(context.Background(), queue.SenderDomain(sender), addresses...)
	h.must("Suppressed", err)
	got := []string{}
	for _, s := range list {
		got = append(got, s.Address+" "+string(s.Reason))
	}
	if !slices.Equal(got, want) {
		h.Errorf("%s: %q, want %q", what, got, want)
	}
}

// testSuppresses: what is told of mail puts its recipient on the list in the same write, and a later delivery takes it off.
func testSuppresses(t *testing.T, h *house) {
	h.q.SuppressOn(queue.SuppressionRules{On: []queue.EventKind{queue.EventBounced, queue.EventComplained}, Keep: 24 * time.Hour})
	all := []string{"bob@example.org", "eve@example.org", "ann@example.org"}
	for i, to := range all {
		h.sent(string(rune('1'+i)), to)
	}
	at := time.Now().Add(-time.Minute)
	tell := func(provider, to string, kind queue.EventKind, at time.Time) queue.Applied {
		t.Helper()
		return h.apply(queue.Told{ProviderID: provider, Recipient: to, Kind: kind, At: at, Words: "550 no", Key: provider + string(kind)})
	}
	if done := tell("1", "Bob@example.org", queue.EventBounced, at); len(done.Suppressed) != 1 || done.Suppressed[0].Upstream != up || done.Suppressed[0].ID == "" {
		t.Errorf("a bounce: %+v", done)
	}
	tell("2", "eve@example.org", queue.EventComplained, at)
	tell("3", "ann@example.org", queue.EventSoftBounced, at)
	h.wantSuppressed("after the events", all, "bob@example.org bounced", "eve@example.org complained")
	if done := tell("1", "bob@example.org", queue.EventBounced, at); len(done.Suppressed) != 0 {
		t.Errorf("told again: %+v", done)
	}
	for i, to := range all {
		h.sent(string(rune('4'+i)), to)
	}
	h.wantSuppressed("before a delivery", all[:1], "bob@example.org bounced")
	if done := tell("4", "bob@example.org", queue.EventDelivered, at.Add(-time.Second)); len(done.Lifted) != 0 {
		t.Errorf("an earlier delivery: %+v", done)
	}
	h.sent("7", "bob@example.org")
	if done := tell("7", "bob@example.org", queue.EventDelivered, at.Add(time.Second)); len(done.Lifted) != 1 || done.Lifted[0].Reason != queue.ReasonBounced {
		t.Errorf("a later delivery: %+v", done)
	}
	tell("5", "eve@example.org", queue.EventDelivered, at.Add(time.Second))
	h.wantSuppressed("after deliveries", all, "eve@example.org complained")
	// A bounce that a later delivery of the same mail has refuted before it was told.
	tell("6", "ann@example.org", queue.EventDelivered, at.Add(time.Second))
	tell("6", "ann@example.org", queue.EventBounced, at)
	h.wantSuppressed("out of order", all, "eve@example.org complained")
	h.q.SuppressOn(queue.SuppressionRules{})
	h.sent("8", "bob@example.org")
	tell("8", "bob@example.org", queue.EventBounced, at.Add(2*time.Second))
	h.wantSuppressed("without rules", all[:1])
}

// testSuppressesLater: what waits for its record puts addresses on the list and takes them off once that is there, and Rejoin says so.
func testSuppressesLater(t *testing.T, h *house) {
	h.q.SuppressOn(queue.SuppressionRules{On: []queue.EventKind{queue.EventBounced}})
	at := time.Now()
	tell := func(provider string, kind queue.EventKind, at time.Time) {
		t.Helper()
		if done := h.apply(queue.Told{ProviderID: provider, Recipient: "bob@example.org", Kind: kind, At: at}); done.Waiting != 1 {
			t.Errorf("before the record of %s: %+v", provider, done)
		}
		h.sent(provider, "bob@example.org")
	}
	tell("1", queue.EventBounced, at)
	if done := h.rejoin(); len(done.Suppressed) != 1 || done.Suppressed[0].Address != "bob@example.org" || done.Waiting != 0 {
		t.Errorf("a bounce: %+v", done)
	}
	h.wantSuppressed("after the bounce", []string{"bob@example.org"}, "bob@example.org bounced")
	tell("2", queue.EventDelivered, at.Add(time.Second))
	if done := h.rejoin(); len(done.Lifted) != 1 || done.Lifted[0].Address != "bob@example.org" {
		t.Errorf("a delivery: %+v", done)
	}
	h.wantSuppressed("after the delivery", []string{"bob@example.org"})
}

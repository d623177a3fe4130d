package feedbacktest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// now is a time as stores keep it.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }

// testJoins: what is told finds its recipient by each name that a mail has.
func testJoins(t *testing.T, h *house) {
	for i, c := range []struct {
		name string
		told func(id string) queue.Told
	}{
		{"queue id", func(id string) queue.Told { return queue.Told{ID: id, Recipient: "ann@example.org"} }},
		{"queue id, other case", func(id string) queue.Told { return queue.Told{ID: id, Recipient: "ANN@Example.ORG"} }},
		{"provider's id", func(string) queue.Told { return queue.Told{ProviderID: "p-1", Recipient: "ann@example.org"} }},
		{"in brackets", func(string) queue.Told { return queue.Told{ProviderID: "<P-2>", Recipient: "ann@example.org"} }},
		{"the only one", func(string) queue.Told { return queue.Told{ProviderID: "p-3"} }},
		{"address and time", func(string) queue.Told { return queue.Told{Recipient: "r5@example.org"} }},
	} {
		to := []string{"ann@example.org"}
		if i < 3 {
			to = append(to, "bob@example.org")
		}
		if i == 5 {
			to = []string{"r5@example.org"}
		}
		id := h.sent(fmt.Sprintf("p-%d", max(i-1, 0)), to...)
		if i < 2 {
			id = h.sent("p-other", to...)
		}
		told := c.told(id)
		told.Kind, told.At, told.Words, told.Key = queue.EventBounced, now(), "550 no such user", c.name
		done := h.apply(told)
		if len(done.Joined) != 1 {
			t.Errorf("%s: %+v", c.name, done)
			continue
		}
		j := done.Joined[0]
		if j.ID != id || j.From != sender || j.Recipient == "" || j.Upstream != up || j.MessageID != "<1@example.com>" || j.State != envelope.Bounced || !j.Changed || !j.Report {
			t.Errorf("%s: joined %+v", c.name, j)
		}
		r := h.record(id, to[0])
		if r.State != envelope.Bounced || !r.Told.Equal(told.At) || r.Error != told.Words || r.ProviderID == "" {
			t.Errorf("%s: record %+v", c.name, r)
		}
		if i < 3 {
			h.wantStates(c.name, id, "ann@example.org bounced", "bob@example.org sent")
		}
		h.wantEvents(c.name, id, "bounced "+j.Recipient)
	}
}

// testJoinsNothing: what is about other mail, or means nothing, changes nothing.
func testJoinsNothing(t *testing.T, h *house) {
	id := h.sent("p-1", "ann@example.org", "bob@example.org")
	other := h.accept(sender, "ann@example.org")
	h.take("other", "p-2")
	at := now()
	for _, c := range []struct {
		name    string
		told    queue.Told
		waiting int
		dropped int
	}{
		{"strange recipient", queue.Told{ID: id, Recipient: "eve@example.org", Kind: queue.EventBounced, At: at}, 1, 0},
		{"which of two", queue.Told{ProviderID: "p-1", Kind: queue.EventBounced, At: at}, 2, 0},
		{"mail of another upstream", queue.Told{ID: other, Recipient: "ann@example.org", Kind: queue.EventBounced, At: at}, 3, 0},
		{"id of another upstream", queue.Told{ProviderID: "p-2", Recipient: "ann@example.org", Kind: queue.EventBounced, At: at}, 4, 0},
		{"unknown id", queue.Told{ID: "0ABCDEFGHJKMN", Recipient: "ann@example.org", Kind: queue.EventBounced, At: at}, 5, 0},
		{"long before", queue.Told{Recipient: "ann@example.org", Kind: queue.EventBounced, At: at.Add(-time.Hour)}, 6, 0},
		{"unknown kind", queue.Told{ID: id, Recipient: "ann@example.org", Kind: "odd", At: at}, 6, 1},
		{"what does not come later", queue.Told{ID: id, Recipient: "ann@example.org", Kind: queue.EventHeld, At: at}, 6, 1},
		{"no name", queue.Told{Kind: queue.EventBounced, At: at}, 6, 1},
	} {
		done := h.apply(c.told)
		if len(done.Joined) != 0 || done.Waiting != c.waiting || done.Dropped != c.dropped {
			t.Errorf("%s: %+v", c.name, done)
		}
		if again := h.apply(c.told); again.Waiting != c.waiting {
			t.Errorf("%s, again: %+v", c.name, again)
		}
	}
	if done := h.rejoin(); len(done.Joined) != 0 || done.Waiting != 6 {
		t.Errorf("Rejoin: %+v", done)
	}
	h.wantStates("all", id, "ann@example.org sent", "bob@example.org sent")
	h.wantStates("the other", other, "ann@example.org sent")
	h.wantEvents("all", id)
}

// testWaits: what is told before the record is there waits for it, over a restart too.
func testWaits(t *testing.T, h *house) {
	id := h.accept(sender, "ann@example.org")
	byID := queue.Told{ID: id, Recipient: "ann@example.org", Kind: queue.EventDelivered, At: now(), Key: "a"}
	byProvider := queue.Told{ProviderID: "p-1", Recipient: "ann@example.org", Kind: queue.EventOpened, At: now(), Key: "b"}
	if done := h.apply(byID, byProvider, byProvider); len(done.Joined) != 0 || done.Waiting != 2 || done.Again != 1 {
		t.Errorf("before: %+v", done)
	}
	if done := h.rejoin(); len(done.Joined) != 0 || done.Waiting != 2 {
		t.Errorf("too early: %+v", done)
	}
	h.stop()
	h.start()
	h.await(func() bool {
		leases, err := h.q.Claim(context.Background(), up, 1, time.Minute)
		h.must("Claim", err)
		for _, l := range leases {
			h.must("Finish", l.Finish(context.Background(), queue.Result{Done: []queue.Record{{Recipient: l.Message().Parts[0].To[0],
				State: envelope.Sent, Upstream: up, ProviderID: "p-1"}}}))
		}
		return len(leases) == 1
	})
	if done := h.rejoin(); len(done.Joined) != 2 || done.Waiting != 0 {
		t.Errorf("Rejoin: %+v", done)
	}
	h.wantStates("joined", id, "ann@example.org delivered")
	h.wantEvents("joined", id, "delivered ann@example.org", "opened ann@example.org")
	if done := h.apply(byID, byProvider); len(done.Joined) != 0 || done.Again != 2 || done.Waiting != 0 {
		t.Errorf("afterwards: %+v", done)
	}
	if done := h.rejoin(); len(done.Joined)+done.Waiting != 0 {
		t.Errorf("nothing waits: %+v", done)
	}
}

// testToldOf: what waits for the records of a message is found by its id, at the upstream that told it, until it joins.
func testToldOf(t *testing.T, h *house) {
	ctx, id, other := context.Background(), h.accept(sender, "ann@example.org"), "0ABCDEFGHJKMN"
	of := func(upstream, id string) (got []string) {
		t.Helper()
		list, err := h.q.ToldOf(ctx, upstream, id)
		h.must("ToldOf", err)
		for _, told := range list {
			got = append(got, strings.TrimSuffix(fmt.Sprint(told.Recipient, " ", told.Kind, " ", told.ProviderID, " ", told.Unsigned), " false"))
		}
		return got
	}
	if got := of(up, id); got != nil {
		t.Errorf("before: %q", got)
	}
	h.apply(queue.Told{ID: id, ProviderID: "p-1", Recipient: "ann@example.org", Kind: queue.EventDeferred, At: now()},
		queue.Told{ID: id, ProviderID: "p-1", Recipient: "ann@example.org", Kind: queue.EventBounced, At: now()},
		queue.Told{ID: other, ProviderID: "p-2", Recipient: "bob@example.org", Kind: queue.EventDelivered, At: now(), Words: "ID " + id, Unsigned: true},
		queue.Told{ProviderID: "p-3", Recipient: "ann@example.org", Kind: queue.EventDelivered, At: now()})
	for _, c := range []struct {
		upstream, id string
		want         []string
	}{
		{up, id, []string{"ann@example.org deferred p-1", "ann@example.org bounced p-1"}},
		{up, other, []string{"bob@example.org delivered p-2 true"}},
		{"other", id, nil},
	} {
		if got := of(c.upstream, c.id); !slices.Equal(got, c.want) {
			t.Errorf("%s %q: %q, want %q", c.upstream, c.id, got, c.want)
		}
	}
	h.take(up, "p-1")
	h.rejoin()
	h.wantStates("joined", id, "ann@example.org bounced")
	if got := of(up, id); got != nil {
		t.Errorf("afterwards: %q", got)
	}
}

func (h *house) await(done func() bool) {
	h.Helper()
	for end := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(end) {
			h.Fatal("it did not come about")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// testAgain: what was told already changes nothing, whether by its key or by what it says.
func testAgain(t *testing.T, h *house) {
	id := h.sent("p-1", "ann@example.org")
	at := now()
	tell := func(key string, kind queue.EventKind, at time.Time) queue.Told {
		return queue.Told{ID: id, Recipient: "ann@example.org", Kind: kind, At: at, Key: key}
	}
	for _, c := range []struct {
		told   queue.Told
		joined int
	}{
		{tell("1", queue.EventDelivered, at), 1},
		{tell("1", queue.EventDelivered, at), 0},
		{tell("2", queue.EventDelivered, at), 0}, // by webhook and by polling
		{tell("", queue.EventOpened, at), 1},
		{tell("", queue.EventOpened, at), 0},
		{tell("", queue.EventOpened, at.Add(time.Second)), 1},
		{tell("3", queue.EventComplained, at), 1},
		{tell("4", queue.EventComplained, at.Add(time.Second)), 0},
	} {
		if done := h.apply(c.told); len(done.Joined) != c.joined || done.Again != 1-c.joined {
			t.Errorf("%+v: %+v", c.told, done)
		}
	}
	if done := h.apply(tell("5", queue.EventClicked, at), tell("5", queue.EventClicked, at)); len(done.Joined) != 1 || done.Again != 1 {
		t.Errorf("twice at once: %+v", done)
	}
	h.wantStates("in the end", id, "ann@example.org complained")
}

// testTooMuch: a mail of which too much is told keeps the first of it, and its state follows nevertheless.
func testTooMuch(t *testing.T, h *house) {
	id := h.sent("p-1", "ann@example.org")
	at := now()
	var told []queue.Told
	for i := range queue.ToldOfMail + 50 {
		told = append(told, queue.Told{ID: id, Recipient: "ann@example.org", Kind: queue.EventOpened, At: at, Key: fmt.Sprint(i)})
	}
	if done := h.apply(told...); len(done.Joined) != queue.ToldOfMail {
		t.Errorf("%d joined", len(done.Joined))
	}
	if done := h.apply(queue.Told{ID: id, Recipient: "ann@example.org", Kind: queue.EventBounced, At: at}); len(done.Joined) != 1 || !done.Joined[0].Report {
		t.Errorf("a bounce behind them: %+v", done)
	}
	events, err := h.q.Events(context.Background(), id)
	if err != nil || len(events) != queue.ToldOfMail {
		t.Errorf("%d events, %v", len(events), err)
	}
	h.wantStates("behind them", id, "ann@example.org bounced")
}

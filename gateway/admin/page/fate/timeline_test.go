package fate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// TestTimeline: each kind of event has words.
func TestTimeline(t *testing.T) {
	next := time.Date(2026, 11, 30, 12, 0, 0, 0, time.Local)
	for _, c := range []struct {
		e    queue.Event
		want string
	}{
		{queue.Event{Kind: queue.EventDeferred, Upstream: "bulk", Attempts: 2, Next: next}, "bulk put off ann@x at attempt 2; the next is at 12:00:00"},
		{queue.Event{Kind: queue.EventFailover, Upstream: "bulk", Lane: "relay"}, "On from bulk to relay for ann@x"},
		{queue.Event{Kind: queue.EventUncertain, Upstream: "bulk"}, "Nobody knows whether bulk has taken it for ann@x"},
		{queue.Event{Kind: queue.EventHeld, Rule: "drafts"}, "Held by route drafts for ann@x"},
		{queue.Event{Kind: queue.EventHeld, By: "root"}, "Held by root for ann@x"},
		{queue.Event{Kind: queue.EventHeld}, "Held for ann@x"},
		{queue.Event{Kind: queue.EventFailed}, "Given up for ann@x"},
		{queue.Event{Kind: queue.EventRetried}, "mailhatch tried it again for ann@x"},
		{queue.Event{Kind: queue.EventReleased, By: "root"}, "root released it for ann@x"},
		{queue.Event{Kind: queue.EventDeleted, By: "root"}, "root deleted it for ann@x"},
		{queue.Event{Kind: queue.EventMoved, By: "root", Lane: "relay"}, "root moved it to relay for ann@x"},
		{queue.Event{Kind: queue.EventResent, By: "root", Words: "as X"}, "root sent it again, as X"},
		{queue.Event{Kind: queue.EventCanary, Upstream: "main"}, "A canary: mailhatch sent it to see whether main delivers"},
		{queue.Event{Kind: "new kind"}, "new kind ann@x"},
	} {
		c.e.To = []string{"ann@x"}
		if got := eventStep(&c.e).Words; got != c.want {
			t.Errorf("%s is %q, want %q", c.e.Kind, got, c.want)
		}
	}
	if got := eventStep(&queue.Event{Kind: queue.EventFailed}).Words; got != "Given up" {
		t.Errorf("for all: %q", got)
	}
	records := []queue.Record{{State: envelope.Discarded, Recipient: envelope.Recipient{Address: "ann@x"}}, {State: envelope.Failed, Recipient: envelope.Recipient{Address: "bob@x"}, Error: "no"}}
	got := Timeline(&envelope.Envelope{Client: envelope.Client{Addr: netip.MustParseAddr("::1"), User: "app", Listener: "l", Protocol: "ESMTP"}}, nil, records)
	if len(got) != 3 || got[0].Words != "Accepted from ::1 by app at l with ESMTP" || got[1].Words != "Given up for bob@x" || got[2].Words != "Discarded for ann@x" {
		t.Errorf("%+v", got)
	}
}

// TestGatewaysOfATimeline: where several share a queue, each step says at which it happened.
func TestGatewaysOfATimeline(t *testing.T) {
	at := time.Now()
	env := &envelope.Envelope{Received: at, Gateway: "a"}
	events := []queue.Event{{Kind: queue.EventDeferred, At: at.Add(time.Second), Upstream: "main", Gateway: "b"}}
	records := []queue.Record{{State: envelope.Sent, At: at.Add(3 * time.Second), Upstream: "main", Gateway: "c", Recipient: envelope.Recipient{Address: "ann@x"}},
		{State: envelope.Sent, At: at.Add(2 * time.Second), Upstream: "main", Gateway: "b", Recipient: envelope.Recipient{Address: "bob@x"}}}
	var got string
	for _, s := range Timeline(env, events, records) {
		got += s.Gateway
	}
	if got != "abbc" {
		t.Errorf("the steps happened at %s", got)
	}
}

// TestManyEvents: what happened alike to many is told once, each attempt on its own.
func TestManyEvents(t *testing.T) {
	var events []queue.Event
	for attempt := 1; attempt <= 2; attempt++ {
		for i := range 30 {
			to := fmt.Sprintf("a%d@example.org", i)
			events = append(events, queue.Event{Kind: queue.EventDeferred, To: []string{to}, Upstream: "main", Attempts: attempt, Words: "450 <" + to + "> is slow"})
		}
	}
	events = append(events, queue.Event{Kind: queue.EventHeld, By: "root"}, queue.Event{Kind: queue.EventHeld, By: "root"})
	list := merged(events)
	if len(list) != 4 || len(list[0].To) != 30 || list[0].Words != "450 <…> is slow" || list[1].Attempts != 2 || list[2].To != nil {
		t.Errorf("%+v", list)
	}
	if few := merged(events[:5]); len(few) != 5 || few[0].Words != events[0].Words {
		t.Errorf("a few became %+v", few)
	}
}

// TestRenamed: what aliases and rules made of recipients is part of the story.
func TestRenamed(t *testing.T) {
	env := &envelope.Envelope{To: []envelope.Recipient{{Address: "ops@example.com", Given: "root@example.com"}, {Address: "ann@example.org"}, {Address: "oncall@example.com", Given: "root@example.com"},
		{Address: "bob@example.com", Given: "bob"}, {Address: "x@example.com", Given: "x@example.com"}}}
	var got []string
	for _, s := range Timeline(env, []queue.Event{{Kind: queue.EventRewritten, Rule: "app, rewrite 2"}, {Kind: queue.EventRewritten, Rule: "app"}}, nil) {
		got = append(got, s.Words)
	}
	want := []string{"Accepted ", "root@example.com became ops@example.com and oncall@example.com", "bob was completed to bob@example.com", "Changed by rewrite rules app, rewrite 2", "Changed by rewrite rule app"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	env.To = nil
	for i := range 3 * manySteps {
		env.To = append(env.To, envelope.Recipient{Address: fmt.Sprint(i, "@example.org"), Given: fmt.Sprint(i, "@example.com")})
	}
	if list := renamed(env); len(list) != manySteps+1 || list[manySteps].Words != "40 more recipients were renamed" {
		t.Errorf("%+v", list)
	}
}

// TestOf: each end is a sentence.
func TestOf(t *testing.T) {
	came := time.Now()
	later := came.Add(time.Hour)
	for s, want := range map[envelope.State]string{envelope.Sent: "taken by main 3 s after it came, at attempt 2", envelope.Delivered: "taken by main, which says that it arrived",
		envelope.Bounced: "taken by main, which says that it did not arrive", envelope.Complained: "taken by main, which says that the recipient called it spam",
		envelope.Failed: "given up after 2 attempts", envelope.Refused: "refused when it was handed over", envelope.Discarded: "discarded"} {
		r := &queue.Record{State: s, Upstream: "main", At: came.Add(3 * time.Second), Told: later, Attempts: 2, ProviderID: "P1", Recipient: envelope.Recipient{Address: "ann@x", Given: "root"}}
		f := Of(r, came)
		if f.Words+f.Detail != want || f.To != "ann@x" || f.Given != "root" || f.ID != "P1" {
			t.Errorf("%s: %+v", s, f)
		}
		if told := s.IsSent() && s != envelope.Sent; f.At.Equal(later) != told {
			t.Errorf("%s: at %v", s, f.At)
		}
	}
	var records []queue.Record
	for i := range manySteps + 1 {
		records = append(records, queue.Record{State: envelope.Sent, Upstream: "main", ProviderID: fmt.Sprint(i), At: later.Add(-time.Duration(i) * time.Second), Recipient: envelope.Recipient{Address: fmt.Sprint(i, "@x")}},
			queue.Record{State: envelope.Refused, Error: fmt.Sprintf("550 <%d@x> no", i), At: came, Recipient: envelope.Recipient{Address: fmt.Sprint(i, "@x")}})
	}
	steps := together(records)
	if len(steps) != 2 || !strings.HasSuffix(steps[1].Words, "and 18 more, the last 20 s later") || steps[0].Small != "550 <…> no" || !strings.HasSuffix(steps[0].Words, "when it was handed over") {
		t.Errorf("%+v", steps)
	}
	few := together(records[:2])
	if len(few) != 2 || few[1].Small != "as 0" && few[0].Small != "as 0" {
		t.Errorf("%+v", few)
	}
}

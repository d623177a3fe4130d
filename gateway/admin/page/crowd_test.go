package page

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/find"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// TestManyRecipients: a message for a thousand is a page of a few lines, and none of them is lost in it.
func TestManyRecipients(t *testing.T) {
	h := newHouse(t)
	var waits, fails []string
	var gone []queue.Record
	for i := range 1000 {
		to := fmt.Sprintf("reader%04d@example.org", i)
		switch {
		case i < 900:
			r := sent(to)
			r.ProviderID = fmt.Sprint("re_", i)
			r.At = time.Now().Add(time.Duration(i) * time.Millisecond)
			gone = append(gone, r)
		case i < 950:
			waits = append(waits, to)
		default:
			fails = append(fails, to)
		}
	}
	held := part(envelope.Held, "main", "eva@example.org")
	failed := part(envelope.Failed, "main", fails...)
	failed.Progress.Error = "550 no."
	id := h.add(plain, []queue.Part{part(envelope.Queued, "bulk", waits...), failed, held}, gone...)
	text := h.see("/messages/" + id)
	h.contains("the message", text, "1,001 recipients", "▲ failed50 recipients given up: 550 no", "■ heldeva@example.org held", "◐ waits50 recipients no gateway serves", "● sent900 recipients taken by main",
		"reader0899@example.org re_899", "reader0999@example.org", "reader0017@example.org re_17reader0018", "Taken by main for reader0000@example.org, reader0001@example.org, reader0002@example.org and 897 more")
	body := h.ask("GET", "/messages/"+id, nil).Body.String()
	if n := strings.Count(body, "<details"); n != 3 {
		t.Errorf("%d folded groups", n)
	}
	for _, group := range []string{"fate-failed-main-1", "fate-queued-bulk-1", "fate-sent-main-1"} {
		if strings.Count(body, `id="`+group+`"`) != 1 {
			t.Errorf("%s is not told from others", group)
		}
	}
}

// TestRowOfMany: the list says what needs attention first, and does not count what it has not read.
func TestRowOfMany(t *testing.T) {
	f := &find.Message{Waiting: &queue.Message{Parts: []queue.Part{part(envelope.Held, "main", "eva@example.org"), part(envelope.Failed, "main", "bob@example.org")}}}
	f.Waiting.Parts[1].Progress.Error = "550 no"
	for i := range 5 {
		r := sent(fmt.Sprint(i, "@example.org"))
		f.Records = append(f.Records, r)
	}
	f.Waiting.Envelope.To = make([]envelope.Recipient, 7)
	view := &waiting.View{Running: true}
	want := []stateCount{{State: envelope.Failed, Count: 1}, {State: envelope.Held, Count: 1}, {State: envelope.Sent, Count: 5}}
	if r := rowOf(f, view); !slices.Equal(r.States, want) || r.More != 6 || r.Words != "given up: 550 no" || !r.Bad {
		t.Errorf("%+v", r)
	}
	f.Waiting.Envelope.To = make([]envelope.Recipient, 1000)
	want[2].Some = true
	if r := rowOf(f, view); !slices.Equal(r.States, want) || r.More != 999 {
		t.Errorf("%+v", r)
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
	for _, s := range timeline(env, []queue.Event{{Kind: queue.EventRewritten, Rule: "app, rewrite 2"}, {Kind: queue.EventRewritten, Rule: "app"}}, nil) {
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

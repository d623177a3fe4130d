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

package queuetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// testImport takes in what another store has had: a message of which one recipient has the mail, another waits, and one
// that has left the queue.
func testImport(t *testing.T, h *house) {
	ids := queue.NewIDs(0)
	then := time.Now().Add(-50 * time.Hour).Truncate(time.Millisecond)
	told := then.Add(time.Minute)
	import1 := func(m *queue.Imported, want bool) {
		t.Helper()
		isNew, err := h.q.Import(context.Background(), m)
		h.must("Import", err)
		if isNew != want {
			t.Errorf("Import says %v, want %v", isNew, want)
		}
	}
	waiting := func() *queue.Imported {
		m := accepted("ann@example.com", "a@example.org", "b@example.org")
		m.Envelope.Received, m.Header.Subject = then, "moved"
		m.Parts = []queue.Part{{To: m.Envelope.To[1:], Lane: "second", State: envelope.Held, Interrupted: true,
			Progress: envelope.Progress{Attempts: 3, Error: "not now"}}}
		m.Done = []queue.Record{{Recipient: m.Envelope.To[0], State: envelope.Bounced, At: then, Told: told, Upstream: lane, ProviderID: "p-7", Attempts: 2,
			Received: then, Gateway: "other"}}
		m.Events = []queue.Event{{At: then, Kind: queue.EventDeferred, Words: "not now"}}
		return &queue.Imported{Accepted: m, Body: strings.NewReader("Subject: moved\r\n\r\nhello\r\n"), Size: 25}
	}
	first := waiting()
	first.ID = queue.FormatID(ids.Next())
	import1(first, true)
	again := waiting()
	again.ID = first.ID
	import1(again, false)

	ended := accepted("ann@example.com", "c@example.org")
	ended.Envelope.Received, ended.Header.Subject, ended.Parts = then, "gone", nil
	ended.Done = []queue.Record{{Recipient: ended.Envelope.To[0], State: envelope.Failed, At: then, Upstream: lane, Error: "no such user", Received: then}}
	gone := &queue.Imported{Accepted: ended, ID: queue.FormatID(ids.Next()), Body: strings.NewReader("Subject: gone\r\n\r\n"), Size: 70000}
	import1(gone, true)
	gone.Body = strings.NewReader("Subject: gone\r\n\r\n")
	import1(gone, false)

	testImportApart(h, waiting().Accepted, first.ID, gone.ID)

	h.restart()
	m := h.only()
	p := &m.Parts[0]
	if m.ID != first.ID || !m.Envelope.Received.Equal(then) || len(m.Parts) != 1 || p.State != envelope.Held || p.Lane != "second" || !p.Interrupted ||
		p.Progress.Attempts != 3 || p.To[0].Address != "b@example.org" || m.Size != 25 {
		t.Errorf("what waits: %+v", m)
	}
	wantBytes(t, "its body", h.body(first.ID), []byte("Subject: moved\r\n\r\nhello\r\n"))
	if events, err := h.q.Events(context.Background(), first.ID); err != nil || len(events) != 1 || events[0].Words != "not now" || !events[0].At.Equal(then) {
		t.Errorf("its events: %+v, %v", events, err)
	}
	for _, want := range []struct {
		id, to string
		state  envelope.State
		size   int64
	}{{first.ID, "a@example.org", envelope.Bounced, 25}, {gone.ID, "c@example.org", envelope.Failed, 70000}} {
		list := h.history(queue.HistoryFilter{ID: want.id})
		if len(list) != 1 || list[0].State != want.state || list[0].Recipient.Address != want.to || !list[0].At.Equal(then) || list[0].Size != want.size ||
			!list[0].Received.Equal(then) || list[0].From != "ann@example.com" {
			t.Errorf("history of %s: %+v", want.id, list)
		}
	}
	if list := h.history(queue.HistoryFilter{ID: first.ID}); len(list) == 1 && (!list[0].Told.Equal(told) || list[0].Gateway != "other") {
		t.Errorf("what was told of it, and where: %+v", list)
	}
	// The other store has reported the bounce, or does: a second one after a delivery that was told in between is no news.
	for i, kind := range []queue.EventKind{queue.EventDelivered, queue.EventBounced} {
		done, err := h.q.Apply(context.Background(), queue.News{Upstream: lane, Told: []queue.Told{{ID: first.ID, Recipient: "a@example.org", Kind: kind, At: told.Add(time.Duration(i+1) * time.Second)}}})
		if err != nil || len(done.Joined) != 1 || done.Joined[0].Report {
			t.Errorf("%s after that: %+v, %v", kind, done, err)
		}
	}
	if f, err := h.q.Finished(context.Background(), gone.ID); err != nil || !strings.HasPrefix(string(f.Fields), "Subject: gone") {
		t.Errorf("what is kept of it: %+v, %v", f, err)
	}
	if _, err := h.q.Import(context.Background(), &queue.Imported{Accepted: ended, ID: "?", Body: strings.NewReader("")}); err == nil {
		t.Error("an invalid id is taken")
	}
}

// testImportApart takes in other mail whose id a message has that waits, or that has ended.
func testImportApart(h *house, mail queue.Accepted, waiting, ended string) {
	h.Helper()
	mail.Header.MessageID = "<eve@example.com>"
	for _, id := range []string{waiting, ended} {
		now := ""
		for _, want := range []bool{true, false} {
			in := &queue.Imported{Accepted: mail, ID: id, Body: strings.NewReader("Subject: eve\r\n\r\n"), Size: 16}
			isNew, err := queue.ImportApart(context.Background(), h.q, in)
			h.must("ImportApart", err)
			if isNew != want || in.ID == id || now != "" && in.ID != now {
				h.Errorf("ImportApart of other mail of the id %s: %v, under %s, once under %s", id, isNew, in.ID, now)
			}
			now = in.ID
		}
		wantBytes(h.T, "its body", h.body(now), []byte("Subject: eve\r\n\r\n"))
		_, err := h.q.Delete(context.Background(), queue.Filter{IDs: []string{now}}, "test")
		h.must("Delete", err)
	}
}

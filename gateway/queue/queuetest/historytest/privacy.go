package historytest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// testPrivacy: what is hidden is not in the history, whole addresses are found all the same, and delivery has what it needs.
func testPrivacy(t *testing.T, h *house) {
	ctx := context.Background()
	end := func(to string) string {
		m := mail("ann@example.com", to)
		m.Envelope.To[0].Given, m.Header = "given", queue.Summary{MessageID: "<1@app>", From: "Ann <ann@example.com>", Subject: "secret plans"}
		id := h.add("Subject: secret plans\r\n\r\nx\r\n", m)
		l := h.claim(lane)
		part := l.Message().Parts[0]
		if part.To[0].Address != to || l.Message().Envelope.From != "ann@example.com" || l.Message().Header.Subject != "secret plans" {
			t.Errorf("what waits is hidden: %+v", l.Message())
		}
		h.finish(l, queue.Result{Parts: []queue.Part{part}, Events: []queue.Event{{Kind: queue.EventDeferred, To: []string{to}, Words: "451 <" + to + "> later"}}})
		h.send(h.claim(lane), queue.Record{State: envelope.Failed, Error: "550 " + to + " unknown", ProviderID: "p-1"})
		return id
	}
	h.must("SetPrivacy", h.q.SetPrivacy(queue.HideNothing))
	open := end("bob@example.org")
	h.must("SetPrivacy", h.q.SetPrivacy(queue.HideSubjects))
	noSubject := end("bob@example.org")
	h.must("SetPrivacy", h.q.SetPrivacy(queue.HideAddresses))
	hidden := end("bob@example.org")
	h.restart()
	h.must("SetPrivacy", h.q.SetPrivacy(queue.HideAddresses))
	again := end("Bob@EXAMPLE.org")
	for _, c := range []struct {
		f    queue.HistoryFilter
		want []string
	}{
		{queue.HistoryFilter{}, []string{again, hidden, noSubject, open}},
		{queue.HistoryFilter{To: "bob@example.org"}, []string{again, hidden, noSubject, open}},
		{queue.HistoryFilter{To: "bob@example.org", From: "Ann@example.com"}, []string{again, hidden, noSubject, open}},
		{queue.HistoryFilter{To: "given"}, []string{again, hidden, noSubject, open}},
		{queue.HistoryFilter{Word: "bob@example.org"}, []string{again, hidden, noSubject, open}},
		{queue.HistoryFilter{To: "bob@*"}, []string{noSubject, open}},
		{queue.HistoryFilter{Word: "bob"}, []string{noSubject, open}},
		{queue.HistoryFilter{To: "eve@example.org"}, nil},
		{queue.HistoryFilter{Subject: "secret"}, []string{open}},
		{queue.HistoryFilter{MessageID: "1@app", ProviderID: "p-1"}, []string{again, hidden, noSubject, open}},
	} {
		var got []string
		for _, r := range h.search(c.f) {
			got = append(got, r.ID)
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%+v: got %v, want %v", c.f, got, c.want)
		}
	}
	if m := h.finished(noSubject); m.Header.Subject != "" || m.Fields != nil && strings.Contains(string(m.Fields), "secret") || m.Envelope.To[0].Address != "bob@example.org" {
		t.Errorf("what is kept without subjects: %+v", m)
	}
	if _, err := h.q.Finished(ctx, hidden); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("what is kept without addresses: %v", err)
	}
	r := h.search(queue.HistoryFilter{ID: hidden})[0]
	e := h.events(hidden)[0]
	for _, text := range []string{r.From, r.Recipient.Address, r.Recipient.Given, r.Header.From, r.Header.Subject, r.Error, e.To[0], e.Words} {
		if strings.Contains(text, "bob") || strings.Contains(text, "ann") || strings.Contains(text, "given") || strings.Contains(text, "secret") {
			t.Errorf("the history shows %q", text)
		}
	}
	if r.State != envelope.Failed || !strings.HasPrefix(r.Error, "550 ") || time.Since(r.At) > time.Minute {
		t.Errorf("record %+v", r)
	}
}

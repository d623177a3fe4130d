package historytest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// testSearch: each field of a filter, alone and with others.
func testSearch(t *testing.T, h *house) {
	old := time.Now().Add(-48 * time.Hour)
	end := func(from, to, given, subject string, r queue.Record) string {
		m := mail(from, to)
		m.Envelope.To[0].Given = given
		m.Header = queue.Summary{MessageID: "<" + subject + "@App>", Subject: subject}
		id := h.add("x", m)
		h.send(h.claim(lane), r)
		return id
	}
	first := end("Ann@Example.com", "bob@example.org", "", "Invoice 7 for Bob", queue.Record{At: old, Upstream: "a", ProviderID: "p-1"})
	second := end("", "BOB@example.net", "bobby", "Reminder 7", queue.Record{At: old.Add(time.Minute), Upstream: "b", ProviderID: "<p-2@mg>", State: envelope.Failed, Error: "no"})
	third := end("ÄNN@example.com", "[x]*@example.org", "", "Grüße 100% _", queue.Record{Upstream: "a", State: envelope.Discarded})
	if id := h.add("x", mail("ann@example.com", "waits@example.org")); len(h.search(queue.HistoryFilter{ID: id})) != 0 {
		t.Error("mail that waits is in the history")
	}
	for _, c := range []struct {
		f    queue.HistoryFilter
		want []string
	}{
		{queue.HistoryFilter{}, []string{third, second, first}},
		{queue.HistoryFilter{ID: second}, []string{second}},
		{queue.HistoryFilter{ID: second, To: "bob@example.org"}, nil},
		{queue.HistoryFilter{To: "bob@example.org"}, []string{first}},
		{queue.HistoryFilter{To: "Bobby"}, []string{second}},
		{queue.HistoryFilter{To: "*b@example.*"}, []string{second, first}},
		{queue.HistoryFilter{To: "[X]*"}, []string{third}},
		{queue.HistoryFilter{To: "*\\*"}, nil},
		{queue.HistoryFilter{To: "???@example.org"}, []string{first}},
		{queue.HistoryFilter{From: "änn@example.com"}, []string{third}},
		{queue.HistoryFilter{Word: "b@Example"}, []string{second, first}},
		{queue.HistoryFilter{Word: "bobb"}, []string{second}},
		{queue.HistoryFilter{Word: "nn@example.com"}, []string{third, first}},
		{queue.HistoryFilter{Word: "]*@"}, []string{third}},
		{queue.HistoryFilter{Word: "obx"}, nil},
		{queue.HistoryFilter{Subject: "7"}, []string{second, first}},
		{queue.HistoryFilter{Subject: "bob INVOICE"}, []string{first}},
		{queue.HistoryFilter{Subject: "bob reminder"}, nil},
		{queue.HistoryFilter{Subject: "grüße %"}, []string{third}},
		{queue.HistoryFilter{State: envelope.Sent}, []string{first}},
		{queue.HistoryFilter{State: envelope.Failed}, []string{second}},
		{queue.HistoryFilter{State: envelope.Queued}, nil},
		{queue.HistoryFilter{Upstream: "a"}, []string{third, first}},
		{queue.HistoryFilter{Upstream: "a", State: envelope.Sent}, []string{first}},
		{queue.HistoryFilter{Upstream: "none"}, nil},
		{queue.HistoryFilter{MessageID: "reminder 7@app"}, []string{second}},
		{queue.HistoryFilter{MessageID: "<Reminder 7@App>"}, []string{second}},
		{queue.HistoryFilter{MessageID: "reminder"}, nil},
		{queue.HistoryFilter{ProviderID: "p-1"}, []string{first}},
		{queue.HistoryFilter{ProviderID: "p-2@mg"}, []string{second}},
		{queue.HistoryFilter{ProviderID: "p"}, nil},
		{queue.HistoryFilter{Since: time.Now().Add(-time.Hour)}, []string{third}},
		{queue.HistoryFilter{Until: time.Now().Add(-time.Hour)}, []string{second, first}},
		{queue.HistoryFilter{Since: old.Add(-time.Hour), Until: old.Add(time.Second)}, []string{first}},
		{queue.HistoryFilter{Limit: 2}, []string{third, second}},
		{queue.HistoryFilter{Limit: 1, Word: "bob", Subject: "7", Until: time.Now()}, []string{second}},
	} {
		var got []string
		for _, r := range h.search(c.f) {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v", c.f, got, c.want)
		}
	}
	for _, f := range []queue.HistoryFilter{{ID: "?"}, {After: "?"}} {
		if _, err := h.q.Search(context.Background(), f); err == nil {
			t.Errorf("%+v: no error", f)
		}
	}
}

// fill ends n messages of one recipient each: r0@example.org, r1@example.org and so on, in batches of many.
func (h *house) fill(n int) {
	h.Helper()
	const many = 500
	for from := 0; from < n; from += many {
		var to []string
		for i := from; i < min(n, from+many); i++ {
			to = append(to, fmt.Sprintf("r%d@example.org", i))
		}
		m := mail("ann@example.com", to...)
		m.Header.Subject = fmt.Sprintf("batch %d", from/many)
		h.add("x", m)
		h.send(h.claim(lane), queue.Record{Upstream: lane, ProviderID: fmt.Sprintf("p-%d", from)})
	}
}

// testSearchPages: a page goes on behind the last record of the one before, and what comes meanwhile does not shift it.
func testSearchPages(t *testing.T, h *house) {
	const n = 3300
	h.fill(n)
	for _, c := range []struct {
		f    queue.HistoryFilter
		want int
	}{
		{queue.HistoryFilter{}, n}, {queue.HistoryFilter{Word: "r1"}, 1111}, {queue.HistoryFilter{Subject: "batch 1"}, 500},
		{queue.HistoryFilter{State: envelope.Sent, Upstream: lane}, n},
	} {
		var got []string
		for f := c.f; ; {
			f.Limit = 700
			page := h.search(f)
			for _, r := range page {
				got = append(got, r.Recipient.Address)
			}
			if len(page) < f.Limit {
				break
			}
			f.After = page[len(page)-1].Key
			h.add("x", mail("ann@example.com", "r1@example.org"))
			h.send(h.claim(lane), queue.Record{Upstream: lane})
		}
		slices.Sort(got)
		if len(slices.Compact(got)) != c.want {
			t.Errorf("%+v: %d recipients, want %d", c.f, len(got), c.want)
		}
		h.prune(queue.Keep{}) // keeps all
	}
	r := h.search(queue.HistoryFilter{To: "r17@example.org"})
	if len(r) != 1 || r[0].ProviderID != "p-0" || r[0].Header.Subject != "batch 0" {
		t.Errorf("an early record: %+v", r)
	}
}

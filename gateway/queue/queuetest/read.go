package queuetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

func testList(t *testing.T, h *house) {
	in := func(lane string, s envelope.State) string {
		m := accepted("ann@example.com", "a@example.org", "b@example.org")
		m.Parts = []queue.Part{
			{To: m.Envelope.To[:1], Lane: lane, State: s},
			{To: m.Envelope.To[1:], Lane: "second", State: envelope.Queued},
		}
		m.Header.Subject = "Waits in " + lane + "!"
		return h.commit([]byte("x"), m)
	}
	queued, held, failed, late := in("a", envelope.Queued), in("b", envelope.Held), in("c", envelope.Failed), in("a", envelope.Held)
	for _, c := range []struct {
		f    queue.Filter
		want []string
	}{
		{queue.Filter{}, []string{queued, held, failed, late}},
		{queue.Filter{IDs: []string{late, queued, noSuchID, "?", queued}}, []string{queued, late}},
		{queue.Filter{IDs: []string{}}, nil},
		{queue.Filter{State: envelope.Queued}, []string{queued, held, failed, late}},
		{queue.Filter{State: envelope.Held}, []string{held, late}},
		{queue.Filter{State: envelope.Failed}, []string{failed}},
		{queue.Filter{Lane: "a"}, []string{queued, late}},
		{queue.Filter{Lane: "none"}, nil},
		{queue.Filter{Lane: "a", State: envelope.Held}, []string{late}},
		{queue.Filter{Lane: "second", State: envelope.Held}, nil},
		{queue.Filter{Lane: "a", State: envelope.Queued}, []string{queued}},
		{queue.Filter{IDs: []string{queued, held}, State: envelope.Held}, []string{held}},
		{queue.Filter{From: "ann@*"}, []string{queued, held, failed, late}},
		{queue.Filter{From: "bob@*"}, nil},
		{queue.Filter{To: "B@example.???"}, []string{queued, held, failed, late}},
		{queue.Filter{To: "a@*", Lane: "a", State: envelope.Held}, []string{late}},
		{queue.Filter{To: "b@*", Lane: "a"}, nil},
		{queue.Filter{Subject: "*in c*"}, []string{failed}},
		{queue.Filter{Before: time.Now().Add(-time.Hour)}, nil},
		{queue.Filter{Before: time.Now().Add(time.Hour)}, []string{queued, held, failed, late}},
	} {
		got := h.list(c.f)
		h.wantIDs(fmt.Sprintf("%+v", c.f), got, c.want...)
		for _, m := range got {
			if len(m.Parts) != 2 {
				t.Errorf("%+v: message with %d parts, want all 2", c.f, len(m.Parts))
			}
		}
	}
	for _, c := range []struct {
		f    queue.Filter
		p    queue.Page
		want []string
	}{
		{queue.Filter{}, queue.Page{Limit: 2}, []string{queued, held}},
		{queue.Filter{}, queue.Page{After: held, Limit: 1}, []string{failed}},
		{queue.Filter{}, queue.Page{After: late}, nil},
		{queue.Filter{State: envelope.Held}, queue.Page{After: held}, []string{late}},
		{queue.Filter{IDs: []string{queued, held, late}, Lane: "a"}, queue.Page{After: queued, Limit: 5}, []string{late}},
		{queue.Filter{Subject: "*in a*"}, queue.Page{Limit: 2}, []string{queued, late}},
	} {
		got, err := h.q.List(context.Background(), c.f, c.p)
		h.must("List", err)
		h.wantIDs(fmt.Sprintf("%+v %+v", c.f, c.p), got, c.want...)
	}
	for _, f := range []queue.Filter{{State: envelope.Sent}, {State: "odd"}} {
		if _, err := h.q.List(context.Background(), f, queue.Page{}); err == nil {
			t.Errorf("List(%+v): no error", f)
		}
	}
	if _, err := h.q.List(context.Background(), queue.Filter{}, queue.Page{After: "?"}); err == nil {
		t.Error("List after an odd id: no error")
	}
}

func testListPages(t *testing.T, h *house) {
	var want []string
	for range 1200 {
		want = append(want, h.add("bob@example.org"))
	}
	slices.Sort(want)
	h.wantIDs("all", h.list(queue.Filter{}), want...)
	h.wantIDs("by ids", h.list(queue.Filter{IDs: want}), want...)
	h.wantIDs("pages", h.pages(queue.Filter{}, false), want...)
	slices.Reverse(want)
	h.wantIDs("pages, newest first", h.pages(queue.Filter{}, true), want...)
	h.wantIDs("pages of a lane, newest first", h.pages(queue.Filter{Lane: lane, State: envelope.Queued}, true), want...)
	h.wantIDs("pages by ids, newest first", h.pages(queue.Filter{IDs: want}, true), want...)
}

// pages lists messages page by page.
func (h *house) pages(f queue.Filter, newest bool) (got []queue.Message) {
	h.Helper()
	for after := ""; ; {
		page, err := h.q.List(context.Background(), f, queue.Page{After: after, Limit: 700, Newest: newest})
		h.must("List", err)
		if len(page) == 0 {
			return got
		}
		got = append(got, page...)
		after = page[len(page)-1].ID
	}
}

func testPrune(t *testing.T, h *house) {
	now := time.Now()
	to := make([]string, 2500) // more than an engine removes at once
	for i := range to {
		to[i] = fmt.Sprintf("r%d@example.org", i)
	}
	h.commit([]byte("x"), accepted("ann@example.com", to...))
	l := h.claimOne()
	r := sent(l)
	for i := range r.Done {
		r.Done[i].At = now.Add(-48 * time.Hour)
	}
	r.Done[0].At = now.Add(-time.Minute)
	r.Done[1].At = now.Add(1000 * time.Hour) // of a clock that was wrong
	h.finish(l, r)

	failing := accepted("ann@example.com", "f@example.org", "q@example.org")
	failing.Parts = []queue.Part{
		{To: failing.Envelope.To[:1], Lane: lane, State: envelope.Failed, Progress: envelope.Progress{Attempts: 9, Error: "no such user"}},
		{To: failing.Envelope.To[1:], Lane: lane, State: envelope.Held},
	}
	mixed := h.commit([]byte("x"), failing)
	failing.Parts = failing.Parts[:1]
	gone := h.commit(bytesOf(1, 1<<20), failing)

	h.prune(queue.Keep{SentAfter: now.Add(-24 * time.Hour), FailedAfter: now.Add(-24 * time.Hour)})
	if n := len(h.history(queue.HistoryFilter{})); n != 2 {
		t.Errorf("%d records are left, want 2", n)
	}
	h.wantIDs("young failed parts", h.list(queue.Filter{}), mixed, gone)

	if done := h.prune(queue.Keep{SentAfter: now.Add(-24 * time.Hour), FailedAfter: now.Add(time.Hour)}); done.Messages != 2 || done.Bytes != 1<<20+1 {
		t.Errorf("pruned %+v, want two messages", done)
	}
	h.wantStates("Prune of failed parts", mixed, "q:held ")
	h.wantIDs("old failed parts", h.list(queue.Filter{}), mixed)
	records := h.history(queue.HistoryFilter{To: "f@example.org"})
	if len(records) != 2 || records[0].State != envelope.Failed || records[0].Error != "no such user" || records[0].Attempts != 9 {
		t.Errorf("records of failed parts: %+v", records)
	}
}

// testPruneBytes: beyond a number of bytes the failed mail that is oldest goes.
func testPruneBytes(t *testing.T, h *house) {
	failing := accepted("ann@example.com", "f@example.org")
	failing.Parts[0].State = envelope.Failed
	var ids []string
	for range 5 {
		ids = append(ids, h.commit(bytesOf(1, 100<<10), failing))
		time.Sleep(2 * time.Millisecond) // times are kept in milliseconds
	}
	waiting := h.commit(bytesOf(2, 100<<10), accepted("ann@example.com", "w@example.org"))
	long := time.Now().Add(-24 * time.Hour)
	if done := h.prune(queue.Keep{SentAfter: long, FailedAfter: long, FailedBytes: 500 << 10}); done != (queue.Pruned{}) {
		t.Errorf("within the bound: pruned %+v", done)
	}
	if done := h.prune(queue.Keep{SentAfter: long, FailedAfter: long, FailedBytes: 250 << 10}); done != (queue.Pruned{Messages: 3, Bytes: 300 << 10}) {
		t.Errorf("pruned %+v, want three messages", done)
	}
	h.wantIDs("the youngest", h.list(queue.Filter{}), ids[3], ids[4], waiting)
	if records := h.history(queue.HistoryFilter{To: "f@example.org"}); len(records) != 3 || records[0].State != envelope.Failed {
		t.Errorf("records: %+v", records)
	}
}

func (h *house) prune(k queue.Keep) queue.Pruned {
	h.Helper()
	done, err := h.q.Prune(context.Background(), k)
	h.must("Prune", err)
	return done
}

// counts fails the test unless check returns "": at once, or, where counts may lag, soon.
func (h *house) counts(what string, check func() string) {
	h.Helper()
	wrong := check()
	for deadline := time.Now().Add(longTime / 2); wrong != "" && !h.engine.OneProcess && time.Now().Before(deadline); wrong = check() {
		time.Sleep(10 * time.Millisecond)
	}
	if wrong != "" {
		h.Errorf("%s: %s", what, wrong)
	}
}

// lanes is counts of what Lanes returns.
func (h *house) lanes(what string, check func(map[string]queue.Lane) string) {
	h.Helper()
	h.counts(what, func() string {
		lanes, err := h.q.Lanes(context.Background())
		h.must("Lanes", err)
		return check(lanes)
	})
}

func testStats(t *testing.T, h *house) {
	check := func(what string, want map[envelope.State]queue.Depth) {
		t.Helper()
		h.counts(what, func() string {
			got, err := h.q.Stats(context.Background())
			h.must("Stats", err)
			return alike(got, want)
		})
	}
	check("empty", map[envelope.State]queue.Depth{})
	ms := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	m := accepted("ann@example.com", "q@example.org", "h@example.org", "f@example.org")
	m.Envelope.Received = ms
	to := m.Envelope.To
	m.Parts = []queue.Part{
		{To: to[:1], Lane: lane, State: envelope.Queued}, {To: to[1:2], Lane: "b", State: envelope.Held}, {To: to[2:], Lane: lane, State: envelope.Failed},
	}
	id := h.commit(bytesOf(1, 1000), m)
	one := accepted("ann@example.com", "x@example.org")
	one.Envelope.Received = ms.Add(time.Minute)
	h.commit(bytesOf(1, 100), one)
	want := map[envelope.State]queue.Depth{
		envelope.Queued: {Parts: 2, Oldest: ms, Bytes: 1100}, envelope.Held: {Parts: 1, Oldest: ms, Bytes: 1000}, envelope.Failed: {Parts: 1, Oldest: ms, Bytes: 1000},
	}
	check("filled", want)
	h.restart()
	check("after a restart", want)
	leases := h.claim(10)
	check("leased", want)
	for _, l := range leases {
		if l.Message().ID == id {
			h.finish(l, sent(l))
		}
	}
	h.act("Release", h.q.Release, 1, id)
	want = map[envelope.State]queue.Depth{
		envelope.Queued: {Parts: 2, Oldest: ms, Bytes: 1100}, envelope.Failed: {Parts: 1, Oldest: ms, Bytes: 1000},
	}
	check("after Finish and Release", want)
	h.act("Delete", h.q.Delete, 1, id)
	want = map[envelope.State]queue.Depth{envelope.Queued: {Parts: 1, Oldest: ms.Add(time.Minute), Bytes: 100}}
	check("after Delete", want)
	h.restart()
	check("at last", want)
}

func testAhead(t *testing.T, h *house) {
	first := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	put := func(lane string, at time.Time, state envelope.State) queue.Place {
		m := accepted("ann@example.com", "a@example.org")
		m.Parts[0].Lane, m.Parts[0].State, m.Parts[0].NextAt = lane, state, at
		return queue.Place{NextAt: at, ID: h.commit([]byte("x"), m)}
	}
	a := put(lane, first.Add(time.Minute), envelope.Queued)
	b := put(lane, first, envelope.Queued)
	c := put(lane, first, envelope.Queued)
	d := put(lane, first.Add(24*time.Hour), envelope.Queued)
	put(lane, first, envelope.Held)
	put("other", first, envelope.Queued)
	h.claim(1)
	for _, row := range []struct {
		lane   string
		places []queue.Place
		most   int
		want   []int
	}{
		{lane, []queue.Place{a, b, c, d}, 10, []int{2, 0, 1, 3}},
		{lane, []queue.Place{d, a}, 2, []int{2, 2}},
		{lane, []queue.Place{{NextAt: d.NextAt.Add(time.Hour), ID: "?"}}, 10, []int{4}},
		{lane, nil, 10, []int{}},
		{"none", []queue.Place{a}, 10, []int{0}},
	} {
		got, err := h.q.Ahead(context.Background(), row.lane, row.places, row.most)
		h.must("Ahead", err)
		if !slices.Equal(got, row.want) {
			t.Errorf("Ahead(%s, %v, %d) = %v, want %v", row.lane, row.places, row.most, got, row.want)
		}
	}
}

package admin

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
)

func ids(p *api.Page) string {
	var list []string
	for _, m := range p.Messages {
		list = append(list, m.ID)
	}
	return strings.Join(list, " ")
}

func TestList(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued), message("B2", "bob", "relay", envelope.Held, envelope.Queued),
		message("C3", "eve", "main", envelope.Failed))
	c, _ := start(t, Config{Queue: q})
	cases := []struct {
		filter     api.Filter
		want, next string
	}{
		{api.Filter{}, "A1 B2 C3", ""},
		{api.Filter{State: envelope.Queued}, "A1 B2", ""},
		{api.Filter{Upstream: "relay"}, "B2", ""},
		{api.Filter{IDs: []string{"A1", "C3", "ZZ"}}, "A1 C3", ""},
		{api.Filter{Limit: 2}, "A1 B2", "B2"},
		{api.Filter{Limit: 2, After: "B2"}, "C3", ""},
		{api.Filter{State: envelope.Failed, Upstream: "relay"}, "", ""},
	}
	for _, v := range []api.View{c, Reader{Queue: q}} {
		for _, tc := range cases {
			p, err := v.List(t.Context(), tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			if ids(p) != tc.want || p.Next != tc.next || p.Messages == nil {
				t.Errorf("%T %+v: %q next %q", v, tc.filter, ids(p), p.Next)
			}
		}
	}
}

func TestShow(t *testing.T) {
	m := message("A1", "ann", "main", envelope.Queued)
	m.Parts[0].NextAt = day0.Add(time.Hour)
	m.Parts[0].Progress = envelope.Progress{Attempts: 3, Uncertain: true, Error: "timeout"}
	q := newFake(m)
	c, _ := start(t, Config{Queue: q})
	for _, v := range []api.View{c, Reader{Queue: q}} {
		got, err := v.Show(t.Context(), "A1")
		if err != nil {
			t.Fatal(err)
		}
		want := &api.Message{ID: "A1", Size: 1000, Header: m.Header, Envelope: m.Envelope,
			Parts: []api.Part{{State: envelope.Queued, Upstream: "main", NextAt: day0.Add(time.Hour), To: m.Parts[0].To, Progress: m.Parts[0].Progress,
				Why: "the gateway is not running", WhyCode: waiting.NotRunning}}}
		if d := cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)); d != "" {
			t.Errorf("%T: %s", v, d)
		}
		for _, id := range []string{"ZZ", "../log", "a/b", "?x=y"} {
			if _, err := v.Show(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
				t.Errorf("%T %q: %v", v, id, err)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued))
	c, _ := start(t, Config{Queue: q})
	for _, v := range []api.View{c, Reader{Queue: q}} {
		r, err := v.Open(t.Context(), "A1")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || string(b) != string(q.bodies["A1"]) || r.Close() != nil {
			t.Errorf("%T: %q %v", v, b, err)
		}
		if _, err := v.Open(t.Context(), "ZZ"); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestLog(t *testing.T) {
	at := func(h int) time.Time { return day0.Add(time.Duration(h) * time.Hour) }
	waiting := message("B2", "bob", "relay", envelope.Queued)
	waiting.Parts[0].Progress = envelope.Progress{Attempts: 2, LastAttempt: at(3), Error: "451 later"}
	waiting.Parts[0].NextAt = at(9)
	q := newFake(waiting, message("C3", "eve", "main", envelope.Failed))
	q.history = []queue.Record{
		{ID: "A0", At: at(1), State: envelope.Discarded, Recipient: envelope.Recipient{Address: "bob@example.org"}},
		{ID: "A1", At: at(4), State: envelope.Sent, From: "app@example.com", Recipient: envelope.Recipient{Address: "ann@example.org"}, ProviderID: "p-1",
			Upstream: "main", Header: queue.Summary{Subject: "Order 7", MessageID: "<m1@x>"}},
	}
	c, _ := start(t, Config{Queue: q})
	cases := []struct {
		filter    api.LogFilter
		want      string
		truncated bool
	}{
		{api.LogFilter{}, "A1 sent, B2 queued, A0 discarded, C3 failed", false},
		{api.LogFilter{To: "BOB@*"}, "B2 queued, A0 discarded", false},
		{api.LogFilter{To: "bob"}, "B2 queued, A0 discarded", false}, // within
		{api.LogFilter{Word: "APP@"}, "A1 sent, B2 queued, C3 failed", false},
		{api.LogFilter{Subject: "7 order"}, "A1 sent", false},
		{api.LogFilter{Subject: "secret b2"}, "B2 queued", false},
		{api.LogFilter{State: envelope.Queued}, "B2 queued", false},
		{api.LogFilter{State: envelope.Sent}, "A1 sent", false},
		{api.LogFilter{State: envelope.Failed}, "C3 failed", false},
		{api.LogFilter{Upstream: "main"}, "A1 sent, C3 failed", false},
		{api.LogFilter{MessageID: "m1@x"}, "A1 sent", false},
		{api.LogFilter{MessageID: "<B2@x>"}, "B2 queued", false},
		{api.LogFilter{ProviderID: "P-1"}, "A1 sent", false},
		{api.LogFilter{Until: at(3)}, "A0 discarded, C3 failed", false},
		{api.LogFilter{ID: "C3"}, "C3 failed", false},
		{api.LogFilter{Since: at(2)}, "A1 sent, B2 queued", false},
		{api.LogFilter{Limit: 1}, "A1 sent", true},
		{api.LogFilter{ID: "C3", From: "nobody@*"}, "", false},
		{api.LogFilter{ID: "C3", To: "ann@*"}, "", false},
	}
	for _, v := range []api.View{c, Reader{Queue: q}} {
		for _, tc := range cases {
			l, err := v.Log(t.Context(), tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range l.Entries {
				got = append(got, e.ID+" "+string(e.State))
			}
			if s := strings.Join(got, ", "); s != tc.want || l.Truncated != tc.truncated || l.Entries == nil {
				t.Errorf("%T %+v: %q %v", v, tc.filter, s, l.Truncated)
			}
		}
	}
	l, err := c.Log(t.Context(), api.LogFilter{ID: "B2"})
	if err != nil {
		t.Fatal(err)
	}
	want := api.Entry{ID: "B2", At: at(3), State: envelope.Queued, From: "app@example.com", To: "bob@example.org", Given: "bob", Upstream: "relay",
		Attempts: 2, Error: "451 later", NextAt: at(9), Header: waiting.Header, Size: 1000, Received: day0,
		Why: "the gateway is not running", WhyCode: "not_running"}
	if d := cmp.Diff([]api.Entry{want}, l.Entries); d != "" {
		t.Error(d)
	}
}

// TestLogPages: page by page every entry comes once, in order, whatever the clock did while they were written.
func TestLogPages(t *testing.T) {
	q := newFake()
	for i := range 5 {
		m := message(fmt.Sprintf("W%d", i), "ann", "main", envelope.Queued)
		m.Parts[0].To = append(m.Parts[0].To, envelope.Recipient{Address: "bob@example.org"})
		m.Parts[0].Progress.LastAttempt = day0.Add(time.Duration(3*i) * time.Minute)
		q.messages[m.ID] = &m
	}
	for i := range 13 {
		at := day0.Add(time.Duration(i) * time.Minute)
		if i == 7 {
			at = at.Add(-5 * time.Minute) // the clock was set back
		}
		q.history = append(q.history, queue.Record{ID: fmt.Sprintf("H%02d", i), At: at, State: envelope.Sent, Recipient: envelope.Recipient{Address: "ann@example.org"}})
	}
	c, _ := start(t, Config{Queue: q})
	for _, limit := range []int{1, 2, 3, 7, 22, 23, 100} {
		seen := map[string]int{}
		f := api.LogFilter{Limit: limit}
		for pages := 0; ; pages++ {
			l, err := c.Log(t.Context(), f)
			if err != nil || pages > 60 {
				t.Fatalf("limit %d: %v after %d pages", limit, err, pages)
			}
			for _, e := range l.Entries {
				seen[e.ID+e.To]++
			}
			if f.After = l.Next; l.Next == "" {
				break
			}
		}
		if len(seen) != 23 {
			t.Errorf("limit %d: %d entries", limit, len(seen))
		}
		for e, n := range seen {
			if n > 1 {
				t.Errorf("limit %d: %s came %d times", limit, e, n)
			}
		}
	}
	if _, err := c.Log(t.Context(), api.LogFilter{After: "?"}); err == nil || !strings.Contains(err.Error(), "not a position in the log") {
		t.Error(err)
	}
}

func TestLogOfALongQueue(t *testing.T) {
	q := newFake()
	for i := range maxScan + 10 {
		m := message(fmt.Sprintf("M%06d", i), "ann", "main", envelope.Queued)
		q.messages[m.ID] = &m
	}
	l, err := Reader{Queue: q}.Log(t.Context(), api.LogFilter{To: "nobody"})
	if err != nil || len(l.Entries) != 0 || !l.Truncated {
		t.Errorf("%d entries, %v %v", len(l.Entries), l.Truncated, err)
	}
	if n := len(q.lists); n != maxScan/maxPage {
		t.Errorf("%d pages were read", n)
	}
}

func TestStatus(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued), message("B2", "bob", "main", envelope.Held))
	q.lanes = map[string]queue.Lane{"main": {Queued: 4, NextAt: day0}, "gone": {Queued: 1}, "empty": {},
		"slow": {Queued: 2, NextAt: day0}, "later": {Queued: 2, NextAt: day0.Add(time.Hour)}, "busy": {Queued: 1, NextAt: day0.Add(time.Hour)}}
	c, _ := start(t, Config{Queue: q, Version: "1.2", Hostname: func() string { return "gw" }, Started: day0,
		Ready: func() []string { return []string{"upstream relay is closed"} },
		Status: func() []api.Upstream {
			return []api.Upstream{{Name: "main", Kind: "resend", State: "open", MaxConcurrent: 16}, {Name: "relay", NextAt: day0},
				{Name: "slow", NextAt: day0.Add(time.Minute)}, {Name: "later", InFlight: 1, NextAt: day0.Add(time.Minute)}, {Name: "busy", InFlight: 1}} // of which NextAt is the rate's
		}})
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := &api.Status{Running: true, Version: "1.2", Hostname: "gw", Started: day0, NotReady: []string{"upstream relay is closed"},
		Upstreams: []api.Upstream{{Name: "main", Kind: "resend", State: "open", MaxConcurrent: 16, Queued: 4, NextAt: day0}, {Name: "relay"},
			{Name: "slow", Queued: 2, NextAt: day0.Add(time.Minute)}, {Name: "later", InFlight: 1, Queued: 2, NextAt: day0.Add(time.Hour)}, {Name: "busy", InFlight: 1, Queued: 1},
			{Name: "gone", Queued: 1}},
		Queue: map[envelope.State]api.QueueStatus{envelope.Queued: {Parts: 1, Bytes: 1000, Oldest: day0},
			envelope.Held: {Parts: 1, Bytes: 1000, Oldest: day0}, envelope.Failed: {}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	offline, err := Reader{Queue: q}.Status(t.Context())
	if err != nil || offline.Running || offline.Queue[envelope.Queued].Parts != 1 || len(offline.Upstreams) != 0 {
		t.Errorf("%+v %v", offline, err)
	}
}

// TestRecentAndMetrics: what `top` asks for.
func TestRecentAndMetrics(t *testing.T) {
	at := time.Now().Truncate(time.Second).UTC()
	c, _ := start(t, Config{Queue: newFake(), Version: "1.2", Recent: func() []journal.Happened {
		return []journal.Happened{{At: at, Event: journal.Event{Name: "failed", ID: "A", Upstream: "main", Class: "permanent", Error: "550", Recipients: 2, Action: "delete", By: "root"}}}
	}})
	want := []api.Event{{At: at, Name: "failed", ID: "A", Upstream: "main", Class: "permanent", Error: "550", Recipients: 2, Action: "delete", By: "root"}}
	if got, err := c.Recent(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.Metrics(t.Context()); err != nil ||
		!slices.ContainsFunc(got, func(s meter.Sample) bool {
			return s.Name == "mailhatch_build_info" && s.Labels["version"] == "1.2" && s.Value == 1
		}) {
		t.Errorf("%v, %v", got, err)
	}
	without, _ := start(t, Config{Queue: newFake()})
	if got, err := without.Recent(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

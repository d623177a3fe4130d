package top

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/meter"
)

// gateway is one that a test makes up.
type gateway struct {
	status  *api.Status
	events  []api.Event
	metrics string
	err     error
}

func (g *gateway) Status(context.Context) (*api.Status, error) { return g.status, g.err }
func (g *gateway) Recent(context.Context) ([]api.Event, error) { return g.events, g.err }

func (g *gateway) Metrics(context.Context) ([]meter.Sample, error) {
	return meter.Read(strings.NewReader(g.metrics))
}

func metrics(accepted, sent int) string {
	return fmt.Sprintf(`# TYPE mailhatch_accepted_total counter
mailhatch_accepted_total{listener="a"} %d
mailhatch_accepted_total{listener="b"} 1
# TYPE mailhatch_sent_total counter
mailhatch_sent_total{upstream="main"} %d
# TYPE mailhatch_failed_total counter
mailhatch_failed_total{upstream="main",class="permanent"} 2
# TYPE mailhatch_attempt_seconds histogram
mailhatch_attempt_seconds_bucket{upstream="main",le="0.1"} %[2]d
mailhatch_attempt_seconds_bucket{upstream="main",le="1"} %[3]d
mailhatch_attempt_seconds_bucket{upstream="main",le="+Inf"} %[3]d
mailhatch_attempt_seconds_sum{upstream="main"} 1
mailhatch_attempt_seconds_count{upstream="main"} %[3]d
`, accepted, sent, sent+sent/20)
}

func busy() *gateway {
	now := time.Now()
	return &gateway{metrics: metrics(100, 90), status: &api.Status{
		Running: true, Version: "1.2", Hostname: "app1", Started: now.Add(-3 * time.Hour), NotReady: []string{"upstream relay is closed"},
		Upstreams: []api.Upstream{
			{Name: "main", State: "open", InFlight: 3, MaxConcurrent: 16, Rate: 10, Queued: 35, Quota: []api.Quota{{Limit: "300/d", Left: 250}}},
			{Name: "bulk", State: "closed", Reason: "paused", PausedBy: "root", Why: "paused by root since 11:20"},
			{Name: "relay", State: "closed", Reason: "unreachable", Since: now.Add(-3 * time.Minute), Why: "closed: refused\x1b[2J \u202e; probe in 4 s", Queued: 12},
		},
		Queue:    map[envelope.State]api.QueueStatus{envelope.Queued: {Parts: 47, Bytes: 1_200_000, Oldest: now.Add(-4 * time.Minute)}},
		Maildrop: &api.MaildropStatus{Messages: 2, Oldest: now.Add(-2 * time.Minute)},
		Store:    api.StoreStatus{Notes: []string{"the log grows"}},
	}, events: []api.Event{
		{At: now, Name: "deferred", ID: "38HE", Upstream: "relay", Class: "temporary", Error: "450 \x1b]0;owned\x07", Recipients: 2},
		{At: now, Name: "failed", ID: "38HF", Upstream: "main", Class: "permanent", Error: "550 no such user", Recipients: 1},
		{At: now, Name: "operator", Action: "move", By: "root", Upstream: "bulk", Recipients: 3},
		{At: now, Name: "upstream_paused", Action: "pause", By: "root", Upstream: "bulk"},
	}}
}

// TestSnapshot: one frame as plain text, with totals.
func TestSnapshot(t *testing.T) {
	var out strings.Builder
	g := busy()
	g.status.Upstreams = append(g.status.Upstreams, api.Upstream{Name: "sg", State: "open", Why: "refuses mail from root@example.com: 403", Refuses: []api.Refused{{From: "root@example.com"}}})
	if err := Snapshot(t.Context(), g, &out); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, want := range []string{
		"mailhatch 1.2 on app1, running for 3 h\n", "not ready: upstream relay is closed\n", "store: the log grows\n", "\naccepted 101, sent 90, deferred 0, failed 2 since the start\n",
		"\nin the queue: 47 queued (1.2 MB, oldest 4 min), 0 held, 0 failed; in the maildrop: 2 (oldest 2 min)\n", "\nUPSTREAM  STATE   QUEUED  IN FLIGHT  RATE  QUOTA LEFT\n", "\nmain      open        35       3/16  10/s  250 of 300/d\n",
		"\n    closed: refused [2J \ufffd; probe in 4 s; for 3 min (unreachable)\n", "\nsg        open         0          0     -  -\n    refuses mail from root@example.com: 403\n", "\nbulk      paused       0          0     -  -\n    paused by root since 11:20\n", " deferred        38HE relay temporary 2 recipients: 450  ]0;owned \n", " failed          38HF main permanent: 550 no such user\n",
		" move by root    bulk 3 recipients\n", " pause by root   bulk\n",
	} {
		if !strings.Contains(strings.ReplaceAll(got, "owned\n", "owned \n"), want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.ContainsAny(got, "\x1b\x07\u202e") {
		t.Errorf("what controls terminals is shown: %q", got)
	}
	g.err = errors.New("gone")
	if err := Snapshot(t.Context(), g, &out); err == nil {
		t.Error("no error")
	}
}

// TestFrameFits: no frame is higher or wider than the terminal, and what matters most stays.
func TestFrameFits(t *testing.T) {
	g := busy()
	for i := range 40 {
		g.status.Upstreams = append(g.status.Upstreams, api.Upstream{Name: fmt.Sprintf("u%02d", i), State: "open"})
		g.events = append(g.events, api.Event{Name: "sent", Upstream: "main"})
	}
	for _, size := range [][2]int{{200, 60}, {80, 24}, {40, 24}, {20, 10}, {10, 3}, {1, 1}} {
		v := &view{live: true}
		v.look(t.Context(), g)
		frame := v.frame(size[0], size[1])
		if len(frame) > size[1] {
			t.Errorf("%d lines of %v", len(frame), size)
		}
		head, more := "", ""
		for _, l := range frame {
			if strings.HasPrefix(l.text, "UPSTREAM") {
				head = l.text
			}
			if strings.HasPrefix(l.text, "… and ") {
				more = l.text
			}
		}
		if size[1] >= 24 && (utf8.RuneCountInString(head) > size[0] || !strings.HasPrefix(head, "UPSTREAM  STATE")) {
			t.Errorf("%v: the head is %q", size, head)
		}
		if size == [2]int{80, 24} && (more != "… and 34 more" || frame[len(frame)-1].style != faint) {
			t.Errorf("%v: %q at the end of the table, %+v", size, more, frame[len(frame)-1])
		}
	}
}

// TestRates: they are those of the last minute, and begin anew with a gateway.
func TestRates(t *testing.T) {
	start := time.Now()
	var tr track
	see := func(after time.Duration, accepted, sent int) {
		t.Helper()
		samples, err := meter.Read(strings.NewReader(metrics(accepted, sent)))
		if err != nil {
			t.Fatal(err)
		}
		tr = tr.add(newTally(start.Add(after), samples))
	}
	rates := func() string {
		c := tr.perMinute(func(t *tally) counts { return t.all })
		m := tr.perMinute(func(t *tally) counts { return t.by["main"] })
		return fmt.Sprint(number(c.accepted), " ", number(c.sent), " ", number(m.sent), " ", seconds(tr.quantile("main", .5)), " ", seconds(tr.quantile("main", .99)))
	}
	see(0, 100, 0)
	if got := rates(); got != "0 0 0 - -" {
		t.Error(got)
	}
	see(30*time.Second, 101, 40)
	if got := rates(); got != "2 80 80 100 ms 1.0 s" {
		t.Error(got)
	}
	for i := range 10 {
		see(40*time.Second+time.Duration(i)*10*time.Second, 101, 40+20*i)
	}
	if got := rates(); got != "0 120 120 100 ms 1.0 s" || len(tr) > 8 {
		t.Error(got, len(tr))
	}
	see(3*time.Minute, 0, 0)
	if tr.known() {
		t.Error("rates between two processes")
	}
	for f, want := range map[float64]string{0.25: "0.2", 9.96: "10", 1234.4: "1234", 3: "3"} {
		if got := number(f); got != want {
			t.Errorf("%v: %s", f, got)
		}
	}
	if got := seconds(math.Inf(1)); got != "long" {
		t.Error(got)
	}
}

package journal

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/meter"
)

// TestListen: who listens hears of each event once, whether or not anybody reads the log.
func TestListen(t *testing.T) {
	j := New(slog.New(slog.DiscardHandler), meter.NewRegistry())
	var heard, also []Event
	j.Listen(func(e Event) { heard = append(heard, e) })
	j.Listen(func(e Event) { also = append(also, e) })
	a := Attempt{ID: "Q1", To: []string{"a@y", "b@y"}, Upstream: "main", Class: "temporary", Error: "busy", Age: time.Second, Took: time.Minute}
	of := Event{ID: "Q1", Upstream: "main", Class: "temporary", Error: "busy", Recipients: 2, Age: time.Second, Took: time.Minute}
	j.Accepted(Accepted{ID: "Q1", To: []string{"a@y"}})
	want := []Event{{Name: "accepted", ID: "Q1", Recipients: 1}}
	for name, write := range map[string]func(Attempt){"sent": j.Sent, "deferred": j.Deferred, "failed": j.Failed, "held": j.Held, "discarded": j.Discarded,
		"failover": func(a Attempt) { j.Failover(a, "relay") }} {
		write(a)
		of.Name = name
		want = append(want, of)
	}
	j.UpstreamClosed("main", "account", errors.New("401"), time.Now())
	j.UpstreamClosed("main", "quota", nil, time.Now())
	j.UpstreamOpened("main", time.Second)
	j.Reloaded(nil)
	j.Reloaded(errors.New("bad"))
	j.InternalError("queue", errors.New("EIO"))
	j.UpstreamPaused("main", "ann")
	j.UpstreamResumed("main", "bob", time.Minute, false)
	j.Operator(Operation{Action: "delete", By: "ann", Recipients: 3})
	want = append(want, Event{Name: "upstream_closed", Upstream: "main", Class: "account", Error: "401"},
		Event{Name: "upstream_closed", Upstream: "main", Class: "quota"}, Event{Name: "upstream_opened", Upstream: "main"},
		Event{Name: "reloaded"}, Event{Name: "reload_refused", Error: "bad"}, Event{Name: "internal_error", Class: "queue", Error: "EIO"},
		Event{Name: "upstream_paused", Upstream: "main", Action: "pause", By: "ann"}, Event{Name: "upstream_resumed", Upstream: "main", Action: "resume", By: "bob"},
		Event{Name: "operator", Action: "delete", By: "ann", Recipients: 3})
	if d := cmp.Diff(want, heard); d != "" {
		t.Errorf("heard (-want +got):\n%s", d)
	}
	if d := cmp.Diff(heard, also); d != "" {
		t.Errorf("the second listener heard other things:\n%s", d)
	}
}

// TestRecent: trouble is always kept, what goes well while somebody watches, and of all the last.
func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Recent{}
		names := func() string {
			var list []string
			for _, h := range r.Last() {
				list = append(list, h.Name)
			}
			return strings.Join(list, " ")
		}
		r.Hear(Event{Name: "sent"})
		r.Hear(Event{Name: "failed"})
		if got := names(); got != "failed" {
			t.Error(got)
		}
		r.Hear(Event{Name: "accepted"})
		time.Sleep(watchTime + time.Second)
		r.Hear(Event{Name: "accepted"})
		if got := names(); got != "failed accepted" {
			t.Error(got)
		}
		for range recentEvents {
			r.Hear(Event{Name: "deferred"})
		}
		if list := r.Last(); len(list) != recentEvents || list[0].Name != "deferred" {
			t.Errorf("%d: %+v", len(list), list)
		}
	})
}

package waiting

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/quota"
)

// source counts so many parts before each.
type source struct {
	n      int
	err    error
	places []queue.Place
}

func (s *source) Lanes(context.Context) (map[string]queue.Lane, error) {
	return map[string]queue.Lane{"theirs": {Served: true}}, s.err
}

func (s *source) Ahead(_ context.Context, lane string, places []queue.Place, most int) ([]int, error) {
	if lane == "lost" {
		return nil, errors.New("EIO")
	}
	s.places = append(s.places, places...)
	return []int{min(s.n, most)}, nil
}

func to(a string) []envelope.Recipient { return []envelope.Recipient{{Address: a}} }

func TestWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now() // 2000-01-01 00:00 UTC
		in := now.Add
		clock := func(at time.Time) string { return at.Local().Format("15:04") }
		day := func(at time.Time) string { return at.Local().Format("2006-01-02 15:04") }
		daily := quota.Limit{Count: 300, Per: "d"}
		up := map[string]gate.Status{
			"open":     {State: "open", MaxConcurrent: 16},
			"slow":     {State: "open", Rate: 2, MaxConcurrent: 16},
			"minutely": {State: "open", Rate: 1.0 / 60, NextToken: in(20 * time.Second)},
			"quiet":    {State: "open", NextProbe: in(5 * time.Minute)},
			"key":      {State: "closed", Reason: "account", LastError: "401: API key is invalid", NextProbe: in(27 * time.Second)},
			"late":     {State: "closed", Reason: "unreachable", LastError: "connection refused", NextProbe: now},
			"tried":    {State: "probing", Reason: "account", LastError: "401: API key is invalid"},
			"free":     {State: "closed", Reason: "quota", NextProbe: in(6 * time.Hour), Quota: []gate.Left{{Limit: daily, Until: in(6 * time.Hour).In(time.UTC)}}},
			"monthly":  {State: "closed", Reason: "quota", NextProbe: in(31 * 24 * time.Hour).In(time.UTC)},
			"sender": {State: "open", Refused: []gate.Refused{{From: "a@x.org", Err: errors.New("403: not verified."), Until: in(20 * time.Second)},
				{From: "*@y.org", Err: errors.New("403: domain"), Until: in(10 * time.Minute)}}},
			"stopped":   {State: "closed", Reason: "paused", Pause: &gate.Pause{By: "root", At: in(-40 * time.Minute)}},
			"yesterday": {State: "closed", Reason: "paused", Pause: &gate.Pause{By: "token", At: in(-24 * time.Hour)}},
		}
		failed := func(n int, words string) envelope.Progress { return envelope.Progress{Attempts: n, Error: words} }
		for _, row := range []struct {
			part  queue.Part
			ahead int
			code  Code
			words string
			at    time.Time
		}{
			{queue.Part{State: envelope.Held, Progress: envelope.Progress{Hold: &envelope.Hold{Rule: "drafts"}}}, 0, HeldRoute, "held by route drafts", time.Time{}},
			{queue.Part{State: envelope.Held, Progress: envelope.Progress{Hold: &envelope.Hold{Rule: "route 3"}}}, 0, HeldRoute, "held by route 3", time.Time{}},
			{queue.Part{State: envelope.Held, Interrupted: true, Progress: envelope.Progress{Hold: &envelope.Hold{By: "root", At: in(-time.Hour)}}}, 0, HeldBy,
				"held by root at " + clock(in(-time.Hour)) + "; it may have been sent already: the outcome of its last offer is unknown", time.Time{}},
			{queue.Part{State: envelope.Held, Progress: envelope.Progress{Hold: &envelope.Hold{By: "root", At: in(-time.Hour)}}}, 0, HeldBy,
				"held by root at " + clock(in(-time.Hour)), time.Time{}},
			{queue.Part{State: envelope.Held, Progress: envelope.Progress{Hold: &envelope.Hold{At: in(-48 * time.Hour)}}}, 0, HeldBy,
				"held by an operator at " + day(in(-48*time.Hour)), time.Time{}},
			{queue.Part{State: envelope.Held, Progress: envelope.Progress{Uncertain: true, Error: "the reply was lost"}}, 0, HeldUnsure,
				"held because its outcome is unknown: the reply was lost", time.Time{}},
			{queue.Part{State: envelope.Held, Progress: failed(0, "the list of its alias cannot be read")}, 0, Held, "held: the list of its alias cannot be read", time.Time{}},
			{queue.Part{State: envelope.Failed, Progress: failed(1, "550: no such user.")}, 0, Failed, "given up: 550: no such user", time.Time{}},
			{queue.Part{Lane: "key", NextAt: in(time.Hour)}, 0, Closed, "waits for key (closed: 401: API key is invalid; probe in 27 s)", in(27 * time.Second)},
			{queue.Part{Lane: "late"}, 0, Closed, "waits for late (closed: connection refused; probe now)", now},
			{queue.Part{Lane: "tried"}, 0, Probing, "waits for tried, which is tried with one mail: 401: API key is invalid", now},
			{queue.Part{Lane: "free"}, 0, Quota, "quota: until " + in(6*time.Hour).UTC().Format("15:04 MST"), in(6 * time.Hour)},
			{queue.Part{Lane: "monthly"}, 0, Quota, "quota: until " + in(31*24*time.Hour).UTC().Format("2006-01-02 15:04 MST"), in(31 * 24 * time.Hour)},
			{queue.Part{Lane: "stopped"}, 0, Paused, "paused by root since " + clock(in(-40*time.Minute)), time.Time{}},
			{queue.Part{Lane: "yesterday"}, 0, Paused, "paused by token since " + day(in(-24*time.Hour)), time.Time{}},
			{queue.Part{Lane: "open", NextAt: in(42 * time.Minute), Progress: failed(3, "450: greylisted")}, 0, Retry,
				"retry 3 at " + clock(in(42*time.Minute)) + ": 450: greylisted", in(42 * time.Minute)},
			{queue.Part{Lane: "open", NextAt: in(30 * time.Second), Progress: failed(0, "403: not verified")}, 0, Retry,
				"its time comes in 30 s: 403: not verified", in(30 * time.Second)},
			{queue.Part{Lane: "sender", NextAt: in(time.Minute), Progress: envelope.Progress{RefusedFrom: "a@x.org"}}, 0, Sender,
				"waits for sender, which refuses mail from a@x.org: 403: not verified; next try in 20 s", in(20 * time.Second)},
			{queue.Part{Lane: "sender", NextAt: in(time.Hour), Progress: envelope.Progress{RefusedFrom: "b@y.org"}}, 0, Sender,
				"waits for sender, which refuses mail from b@y.org: 403: domain; next try at " + clock(in(10*time.Minute)), in(10 * time.Minute)},
			{queue.Part{Lane: "sender", NextAt: in(time.Minute), Progress: envelope.Progress{RefusedFrom: "b@x.org", Error: "403"}}, 0, Retry,
				"its time comes at " + clock(in(time.Minute)) + ": 403", in(time.Minute)},
			{queue.Part{Lane: "sender", NextAt: in(time.Minute), Progress: failed(1, "450")}, 0, Retry, "retry 1 at " + clock(in(time.Minute)) + ": 450", in(time.Minute)},
			{queue.Part{Lane: "open", NextAt: in(3 * time.Second), Progress: failed(0, gate.ErrDomainRate.Error())}, 0, DomainRate,
				"rate_per_domain: its turn comes in 3 s", in(3 * time.Second)},
			{queue.Part{Lane: "open", NextAt: now}, 0, Turn, "it is next", now},
			{queue.Part{Lane: "open"}, 7, Turn, "7 before it", now},
			{queue.Part{Lane: "open"}, 17, Turn, "17 before it", time.Time{}},
			{queue.Part{Lane: "slow"}, 40, Rate, "rate: 40 before it", in(20 * time.Second)},
			{queue.Part{Lane: "minutely"}, 0, Rate, "rate: it is next", in(20 * time.Second)},
			{queue.Part{Lane: "minutely"}, 1, Rate, "rate: 1 before it", in(80 * time.Second)},
			{queue.Part{Lane: "slow"}, 50_000, Rate, "rate: 10000 or more before it", time.Time{}},
			{queue.Part{Lane: "quiet"}, 1, Rate, "rate: quiet asked for a pause until " + clock(in(5*time.Minute)) + "; 1 before it", in(5 * time.Minute)},
			{queue.Part{Lane: "gone", NextAt: in(-time.Minute)}, 0, NotServed, "no gateway serves upstream gone; it is routed again now", now},
			{queue.Part{Lane: "", NextAt: in(10 * time.Second), Progress: failed(0, "no route matches")}, 0, NotServed,
				"it has no upstream; it is routed again in 10 s: no route matches", in(10 * time.Second)},
			{queue.Part{Lane: "theirs", NextAt: in(time.Hour)}, 0, Elsewhere, "another gateway delivers mail for theirs", in(time.Hour)},
			{queue.Part{Lane: DigestLane, NextAt: in(time.Hour)}, 0, Digest, "given up; its sender gets a digest at " + clock(in(time.Hour)), in(time.Hour)},
		} {
			if row.part.State == "" {
				row.part.State = envelope.Queued
			}
			row.part.To = to("a@example.org")
			m := queue.Message{ID: "Q1", Parts: []queue.Part{row.part}}
			v := &View{Running: true, Upstreams: up}
			if err := v.Complete(t.Context(), &source{n: row.ahead}, []queue.Message{m}); err != nil {
				t.Fatal(err)
			}
			got := v.Of(&m, &m.Parts[0])
			if got.Code != row.code || got.Words != row.words || !got.At.Equal(row.at) {
				t.Errorf("lane %q:\n%s %q at %v, want\n%s %q at %v", row.part.Lane, got.Code, got.Words, got.At, row.code, row.words, row.at)
			}
		}
	})
}

// TestWhyWithoutADoubt: what is under way is so whatever its upstream is meanwhile; a gateway that does not run, or cannot
// record what it does, offers nothing.
func TestWhyWithoutADoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := queue.Message{ID: "Q1", Parts: []queue.Part{{To: to("a@example.org"), Lane: "a", State: envelope.Queued}}}
		p := &m.Parts[0]
		if got := (&View{}).Of(&m, p); got.Code != NotRunning || got.Words != "the gateway is not running" {
			t.Errorf("not running: %+v", got)
		}
		if err := (&View{}).Complete(t.Context(), nil, []queue.Message{m}); err != nil {
			t.Error(err)
		}
		v := &View{Running: true, Upstreams: map[string]gate.Status{"a": {State: "open"}}, Stuck: true}
		if got := v.Of(&m, p); got.Code != Store || !got.At.IsZero() {
			t.Errorf("stuck: %+v", got)
		}
		v.Stuck = false
		if got := v.Of(&m, p); got.Code != Turn || got.Words != "it is due" {
			t.Errorf("without a look into the queue: %+v", got)
		}
		v.Upstreams["a"] = gate.Status{State: "closed"}
		v.UnderWay = map[Key]time.Time{KeyOf("Q1", p.To): time.Now()}
		for _, row := range []struct {
			after time.Duration
			want  string
		}{{3 * time.Second, "in flight for 3 s"}, {5 * time.Minute, "in flight for 5 min"}, {3 * time.Hour, "in flight for 3 h"}} {
			time.Sleep(row.after - time.Since(v.UnderWay[KeyOf("Q1", p.To)]))
			if got := v.Of(&m, p); got.Code != InFlight || got.Words != row.want {
				t.Errorf("after %v: %+v", row.after, got)
			}
		}
		v.Now = time.Now().Add(time.Hour) // schedules go by another time of day
		if got := v.Of(&m, p); !got.At.Equal(v.Now) {
			t.Errorf("expected at %v, want %v", got.At, v.Now)
		}
	})
}

// TestComplete: only mail that waits for nothing but its turn is counted before, and the queue's errors come through.
func TestComplete(t *testing.T) {
	part := func(lane string, s envelope.State, at time.Time) queue.Message {
		return queue.Message{ID: "Q-" + lane, Parts: []queue.Part{{To: to("a@example.org"), Lane: lane, State: s, NextAt: at}}}
	}
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	view := func() *View {
		return &View{Running: true, Upstreams: map[string]gate.Status{"a": {State: "open"}, "b": {State: "closed"}, "lost": {State: "open"}}}
	}
	q := &source{n: 1}
	list := []queue.Message{part("a", envelope.Queued, past), part("a", envelope.Held, past), part("a", envelope.Queued, future),
		part("b", envelope.Queued, past), part("gone", envelope.Queued, past)}
	if err := view().Complete(t.Context(), q, list); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]queue.Place{{NextAt: past, ID: "Q-a"}}, q.places); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
	if err := view().Complete(t.Context(), &source{err: errors.New("EIO")}, list); err == nil {
		t.Error("an error of Lanes is lost")
	}
	if err := view().Complete(t.Context(), q, []queue.Message{part("lost", envelope.Queued, past)}); err == nil {
		t.Error("an error of Ahead is lost")
	}
}

// TestRefusedSenders: of an upstream it is said whose mail it refuses, for as long as it takes that of others.
func TestRefusedSenders(t *testing.T) {
	u := gate.Status{State: "open", Refused: []gate.Refused{{From: "a@x.org", Err: errors.New("403")}, {From: "b@x.org"}}}
	for want, change := range map[string]func(){
		"refuses mail from a@x.org: 403; next try now; and 1 more": func() {},
		"refuses mail from a@x.org: 403; next try now":             func() { u.Refused = u.Refused[:1] },
		"closed; probe now": func() { u.State = "closed" },
	} {
		was := u
		if change(); Upstream(&u) != want {
			t.Errorf("%q, want %q", Upstream(&u), want)
		}
		u = was
	}
}

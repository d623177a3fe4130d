package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

func (r *rig) status(name string) gate.Status {
	for _, s := range r.d.Status() {
		if s.Name == name {
			return s
		}
	}
	return gate.Status{}
}

func down(m *upstream.Mail) []upstream.Outcome {
	return all(m, upstream.Outcome{Err: &upstream.Error{Class: upstream.Temporary, Connect: true, Err: errors.New("connection refused")}})
}

func TestUnreachableUpstreamIsNoticedWhenItReturns(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	a := &scripted{}
	a.send = func(_ int, m *upstream.Mail) []upstream.Outcome {
		if up.Load() {
			return all(m, upstream.Outcome{})
		}
		return down(m)
	}
	a.check = func() error {
		if up.Load() {
			return nil
		}
		return &upstream.Error{Connect: true, Err: errors.New("connection refused")}
	}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	for i := range 40 {
		r.put("a", fmt.Sprintf("x%d@example.org", i))
	}
	r.start()
	r.await("the closing", func() bool { return r.status("a").State == "closed" })
	if s := r.status("a"); s.Reason != "unreachable" || !strings.Contains(s.LastError, "refused") || s.NextProbe.IsZero() {
		t.Errorf("status %+v", s)
	}
	tried := a.count()
	if tried > 8 {
		t.Errorf("%d offers to an upstream that is down; the rest should have waited", tried)
	}
	up.Store(true)
	since := time.Now()
	r.awaitSent(40) // those that were deferred for an hour too
	if took := time.Since(since); took > 20*time.Second {
		t.Errorf("the backlog went after %v", took)
	}
	if s := r.status("a"); s.State != "open" {
		t.Errorf("status %+v", s)
	}
}

func TestUnreachableFailsOverAtOnce(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome { return down(m) }, check: func() error { return &upstream.Error{Connect: true, Err: errors.New("down")} }}
	b := &scripted{}
	r := newRig(t, func(c *Config) { c.Route = via("a", "b"); c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a, "b": b})
	for i := range 20 {
		r.put("a", fmt.Sprintf("x%d@example.org", i))
	}
	r.start()
	r.awaitSent(20)
	if got := r.d.Choose([]string{"a", "b"}); got != "b" {
		t.Errorf("new mail would go to %q while a is closed", got)
	}
}

func TestRefusedAccountKeepsTheMail(t *testing.T) {
	refused := func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Account, 401, "wrong key"))
	}
	t.Run("and a reload heals it", func(t *testing.T) {
		a, healed := &scripted{send: refused}, &scripted{}
		r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
		for range 6 {
			r.put("a", "x@example.org")
		}
		r.start()
		r.await("the closing", func() bool { return r.status("a").Reason == "account" })
		if n := len(r.bounced()); n != 0 {
			t.Errorf("%d bounces for a wrong key", n)
		}
		r.d.Reload(config(ups{"a": healed}, nil))
		// The one that was refused waits for its schedule, all others go at once.
		r.await("the rest", func() bool { return healed.count() >= 6-a.count() })
	})
	t.Run("and others take over", func(t *testing.T) {
		b := &scripted{}
		r := newRig(t, func(c *Config) { c.Route = via("a", "b"); c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": {send: refused}, "b": b})
		for range 6 {
			r.put("a", "x@example.org")
		}
		r.start()
		r.awaitSent(6)
	})
}

func TestThrottledParksTheUpstream(t *testing.T) {
	t.Parallel()
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			return all(m, upstream.Outcome{Err: &upstream.Error{Class: upstream.Throttled, Status: 429, RetryAfter: 700 * time.Millisecond, Err: errors.New("slow down")}})
		}
		return all(m, upstream.Outcome{})
	}}
	r := newRig(t, func(c *Config) { c.Upstreams[0].MaxConcurrent = 1 }, ups{"a": a})
	for range 5 {
		r.put("a", "x@example.org")
	}
	r.start()
	r.awaitSent(5)
	if gap := a.times[1].Sub(a.times[0]); gap < 650*time.Millisecond {
		t.Errorf("the next mail went %v after the 429, want Retry-After", gap)
	}
	if a.count() != 6 {
		t.Errorf("%d offers, want 6", a.count())
	}
}

// TestPauseHoldsBack: a provider that says with its success "nothing more this second" is obeyed
// without an alarm; where it says so for long, the upstream counts as throttled.
func TestPauseHoldsBack(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		pause time.Duration
		state string
	}{{600 * time.Millisecond, "open"}, {time.Hour, "closed"}} {
		a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
			if n == 1 {
				return all(m, upstream.Outcome{ID: "1", Pause: row.pause})
			}
			return all(m, upstream.Outcome{ID: "2"})
		}}
		r := newRig(t, nil, ups{"a": a})
		r.put("a", "x@example.org")
		r.start()
		r.awaitSent(1)
		r.await("the pause", func() bool { return r.status("a").State == row.state })
		r.put("a", "y@example.org")
		if row.state == "closed" {
			if s := r.status("a"); s.Reason != "throttled" || a.count() != 1 {
				t.Errorf("%+v after %d offers", s, a.count())
			}
			continue
		}
		r.awaitSent(2)
		if gap := a.times[1].Sub(a.times[0]); gap < 550*time.Millisecond {
			t.Errorf("the next mail went after %v", gap)
		}
		if log := r.journal(); strings.Contains(log, "rate limit") {
			t.Errorf("an alarm for a limit that was kept: %s", log)
		}
	}
}

func TestPoisonDoesNotCloseTheGate(t *testing.T) {
	var poison string
	a := &scripted{}
	a.send = func(_ int, m *upstream.Mail) []upstream.Outcome {
		if m.ID == poison {
			return all(m, failing(upstream.Temporary, 500, "internal error"))
		}
		return all(m, upstream.Outcome{})
	}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Millisecond} }, ups{"a": a})
	poison = r.put("a", "poison@example.org")
	r.start()
	r.await("ten attempts", func() bool { return a.count() > 10 })
	if s := r.status("a"); s.State != "open" {
		t.Errorf("one message closed the gate: %+v", s)
	}
	r.put("a", "good@example.org")
	r.awaitSent(1)
}

func TestBrokenServerClosesTheGate(t *testing.T) {
	var up atomic.Bool
	a := &scripted{}
	a.send = func(_ int, m *upstream.Mail) []upstream.Outcome {
		if up.Load() {
			return all(m, upstream.Outcome{})
		}
		return all(m, failing(upstream.Temporary, 503, "busy"))
	}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	for range 12 {
		r.put("a", "x@example.org")
	}
	r.start()
	r.await("the closing", func() bool { return r.status("a").State != "open" })
	up.Store(true)
	r.awaitSent(12)
}

func TestSlowUpstreamDelaysNoOther(t *testing.T) {
	release := make(chan struct{})
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome { <-release; return all(m, upstream.Outcome{}) }}
	b := &scripted{}
	r := newRig(t, func(c *Config) {
		c.Route = func(*queue.Message, *mime.Message) func(string) route.Decision {
			return func(to string) route.Decision {
				return route.Decision{Action: route.Deliver, Via: []string{to[:1]}}
			}
		}
	}, ups{"a": a, "b": b})
	for range 20 {
		r.put("a", "a@example.org")
	}
	for range 20 {
		r.put("b", "b@example.org")
	}
	r.start()
	r.awaitSent(20)
	close(release)
	r.awaitSent(40)
}

func TestRate(t *testing.T) {
	t.Parallel()
	a := &scripted{}
	r := newRig(t, func(c *Config) { c.Upstreams[0].Rate = 20 }, ups{"a": a})
	for range 14 {
		r.put("a", "x@example.org")
	}
	r.start()
	r.awaitSent(14)
	// A burst of 4 (max_concurrent), then 20 a second.
	if took := a.times[13].Sub(a.times[0]); took < 400*time.Millisecond {
		t.Errorf("14 offers in %v at 20/s", took)
	}
}

func TestBlockedSenderHoldsOnlyItsOwnMail(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		if strings.HasSuffix(m.From, "@unverified.example") {
			return all(m, upstream.Outcome{Err: &upstream.Error{Class: upstream.Account, Sender: true, Status: 403, Err: errors.New("domain is not verified")}})
		}
		return all(m, upstream.Outcome{})
	}}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.putFrom("x@unverified.example", "a", time.Now(), "x@example.org")
	r.start()
	r.await("the refusal", func() bool { return a.count() == 1 })
	r.await("its deferral", func() bool { return strings.Contains(r.journal(), "msg=deferred") })
	r.putFrom("y@unverified.example", "a", time.Now(), "x@example.org")
	r.put("a", "x@example.org")
	r.awaitSent(1)
	if a.count() != 2 {
		t.Errorf("%d offers: mail of a blocked sender was offered again", a.count())
	}
	if s := r.status("a"); s.State != "open" {
		t.Errorf("status %+v", s)
	}
}

func TestNewRulesMoveQueuedMail(t *testing.T) {
	b := &scripted{}
	for _, c := range []struct {
		name string
		cfg  *Config
		ok   func(r *rig) bool
	}{
		{"to another upstream", config(ups{"b": b}, func(c *Config) { c.Route = via("b") }),
			func(r *rig) bool { return len(r.history(envelope.Sent)) == 1 }},
		{"to discard", config(ups{"b": b}, func(c *Config) { c.Route = decision(route.Decision{Action: route.Discard}) }),
			func(r *rig) bool { return len(r.history(envelope.Discarded)) == 1 }},
		{"to hold", config(ups{"b": b}, func(c *Config) { c.Route = decision(route.Decision{Action: route.Hold}) }),
			func(r *rig) bool { return len(r.parts()) == 1 && r.parts()[0].State == envelope.Held }},
		{"to a refusal by a rule", config(ups{"b": b}, func(c *Config) {
			c.Route = decision(route.Decision{Action: route.Reject, Reply: envelope.Reply{Code: 550, Text: "never"}})
		}), func(r *rig) bool { return len(r.parts()) == 1 && r.parts()[0].State == envelope.Failed }},
		{"no rule matches: it waits", config(ups{"b": b}, func(c *Config) {
			c.Route = decision(route.Decision{Rule: -1, Action: route.Reject, Reply: route.NoRoute()})
		}),
			func(r *rig) bool {
				p := r.parts()
				return len(p) == 1 && p[0].State == envelope.Queued && strings.Contains(p[0].Progress.Error, "no route")
			}},
		{"the upstream is gone: it waits", config(ups{"b": b}, func(c *Config) { c.Route = via("gone") }),
			func(r *rig) bool {
				p := r.parts()
				return len(p) == 1 && p[0].State == envelope.Queued && strings.Contains(p[0].Progress.Error, "none of the upstreams")
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The upstream it waits for is not in the config any more.
			r := newRig(t, nil, ups{})
			r.d.Reload(c.cfg)
			r.put("a", "x@example.org")
			r.start()
			r.await(c.name, func() bool { return c.ok(r) })
		})
	}
}

func decision(d route.Decision) func(*queue.Message, *mime.Message) func(string) route.Decision {
	return func(*queue.Message, *mime.Message) func(string) route.Decision {
		return func(string) route.Decision { return d }
	}
}

func TestStopLetsAttemptsEnd(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		close(begun)
		<-release
		return all(m, upstream.Outcome{})
	}}
	r := newRig(t, nil, ups{"a": a})
	r.put("a", "x@example.org")
	r.start()
	<-begun
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	r.stop()
	if len(r.history(envelope.Sent)) != 1 {
		t.Errorf("an attempt was cut off by the stop: %s", r.show())
	}
}

func TestStopCutsAttemptsAfterTheDrain(t *testing.T) {
	begun := make(chan struct{})
	a := &slow{begun: begun}
	r := newRig(t, func(c *Config) { c.Policy.Drain = 50 * time.Millisecond; c.Upstreams[0].Upstream = a }, ups{"a": {}})
	r.put("a", "x@example.org")
	r.start()
	<-begun
	r.stop()
	p := r.parts()
	if len(p) != 1 || p[0].State != envelope.Queued || p[0].Progress.Class != "uncertain" {
		t.Errorf("parts %+v", p)
	}
}

// slow answers when its context ends.
type slow struct{ begun chan struct{} }

func (s *slow) Send(ctx context.Context, m *upstream.Mail) []upstream.Outcome {
	close(s.begun)
	<-ctx.Done()
	return all(m, failing(upstream.Uncertain, 0, "cut"))
}

func TestSweepExpiresMailOfAClosedUpstream(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome { return down(m) }, check: func() error { return &upstream.Error{Connect: true, Err: errors.New("down")} }}
	b := &scripted{send: a.send, check: a.check}
	r := newRig(t, func(c *Config) { c.Route = via("a", "b") }, ups{"a": a, "b": b})
	r.put("a", "fresh@example.org")
	r.start()
	r.await("the closing", func() bool { return r.status("a").State == "closed" && r.status("b").State == "closed" })
	if got := r.parts(); len(got) != 1 || got[0].State != envelope.Queued {
		t.Errorf("parts %+v", got)
	}
}

func TestChoose(t *testing.T) {
	r := newRig(t, nil, ups{"a": {}, "b": {}, "c": {}})
	g := newGeneration(&r.d.services, r.cfg, false)
	g.lanes["b"].gate.Learn("", &upstream.Error{Class: upstream.Account, RetryAfter: time.Hour, Err: errors.New("x")})
	for _, c := range []struct {
		via  string
		p    envelope.Progress
		want string
	}{
		{"a b c", envelope.Progress{}, "a"},
		{"b c a", envelope.Progress{}, "c"},
		{"b", envelope.Progress{}, "b"},
		{"a c", envelope.Progress{Passed: []string{"a"}}, "c"},
		{"a c", envelope.Progress{Passed: []string{"a", "c"}}, "a"},
		{"a c", envelope.Progress{Unfit: []string{"a"}}, "c"},
		{"a b", envelope.Progress{Passed: []string{"a"}}, "a"},
		{"a", envelope.Progress{Unfit: []string{"a"}}, ""},
		{"gone", envelope.Progress{}, ""},
	} {
		if got := g.choose(strings.Fields(c.via), &c.p, ""); got != c.want {
			t.Errorf("choose(%s, %+v) = %q, want %q", c.via, c.p, got, c.want)
		}
	}
}

// TestOpenedByAPeer: mail that was put off while its upstream was closed is due as soon as another gateway finds it open.
func TestOpenedByAPeer(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			return all(m, upstream.Outcome{Err: &upstream.Error{Class: upstream.Account, Status: 401, RetryAfter: time.Hour, Err: errors.New("wrong key")}})
		}
		return all(m, upstream.Outcome{})
	}}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.put("a", "x@example.org")
	r.start()
	r.await("the closing", func() bool {
		return r.status("a").State == "closed" && len(r.parts()) == 1 && time.Until(r.parts()[0].NextAt) > time.Minute
	})
	g := r.d.Gates()[0]
	r.await("the mail", func() bool {
		g.Hear(gate.News{State: gate.Closed, Reason: gate.Account, Until: time.Now().Add(time.Hour)})
		time.Sleep(300 * time.Millisecond) // for the lane to see it; a slow one sees the next
		g.Hear(gate.News{State: gate.Open})
		time.Sleep(50 * time.Millisecond)
		return len(r.history(envelope.Sent)) == 1
	})
}

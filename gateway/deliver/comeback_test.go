package deliver

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/upstream"
)

// An upstream that others stood in for is tried with new mail once it answers again.
func TestReplacedUpstreamComesBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fail upstream.Error
	}{
		{"unreachable", upstream.Error{Connect: true, Err: errors.New("connection refused")}},
		{"account", upstream.Error{Class: upstream.Account, Status: 401, RetryAfter: time.Second, Err: errors.New("wrong key")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var up atomic.Bool
			a, b := &scripted{}, &scripted{}
			a.send = func(_ int, m *upstream.Mail) []upstream.Outcome {
				if up.Load() {
					return all(m, upstream.Outcome{})
				}
				return all(m, upstream.Outcome{Err: &c.fail})
			}
			r := newRig(t, func(cfg *Config) { cfg.Route = via("a", "b"); cfg.Policy.Retry = []time.Duration{time.Second} }, ups{"a": a, "b": b})
			r.put("a", "x@example.org")
			r.start()
			r.awaitSent(1)
			up.Store(true)
			n := 1
			r.await("the return", func() bool {
				n++
				r.put(r.d.Choose([]string{"a", "b"}), fmt.Sprintf("x%d@example.org", n))
				time.Sleep(20 * time.Millisecond)
				return r.status("a").State == "open"
			})
			r.awaitSent(n)
			if len(a.offered())+len(b.offered()) != n+1 { // the first was offered to both
				t.Errorf("%d and %d offers for %d mails", a.count(), b.count(), n)
			}
		})
	}
}

// While it is still out of order, one mail at a time is spent on trying.
func TestProbesSpendFewMails(t *testing.T) {
	t.Parallel()
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome { return down(m) }}
	b := &scripted{}
	r := newRig(t, func(cfg *Config) { cfg.Route = via("a", "b") }, ups{"a": a, "b": b})
	r.start()
	r.await("current", func() bool { return r.d.current.Load() != nil })
	for n := range 300 {
		r.put(r.d.Choose([]string{"a", "b"}), fmt.Sprintf("x%d@example.org", n))
	}
	r.awaitSent(300)
	if n := a.count(); n < 1 || n > 12 {
		t.Errorf("%d offers to the upstream that is down, want the first few", n)
	}
}

func TestThrottleOfALaterCallParksTheUpstream(t *testing.T) {
	t.Parallel()
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n > 1 {
			return all(m, upstream.Outcome{})
		}
		slow := upstream.Outcome{Err: &upstream.Error{Class: upstream.Throttled, Status: 429, RetryAfter: 600 * time.Millisecond, Err: errors.New("slow down")}}
		return []upstream.Outcome{{ID: "one"}, slow}
	}}
	r := newRig(t, func(c *Config) { c.Upstreams[0].MaxConcurrent = 1 }, ups{"a": a})
	r.put("a", "x@example.org", "y@example.org")
	r.put("a", "z@example.org")
	r.start()
	r.awaitSent(3)
	if gap := a.times[1].Sub(a.times[0]); gap < 550*time.Millisecond {
		t.Errorf("the next mail went %v after the 429", gap)
	}
}

// TestThrottleIsForgotten: a restart and a reload ask an upstream again that throttled for a day.
func TestThrottleIsForgotten(t *testing.T) {
	for name, again := range map[string]func(r *rig){
		"restart": func(r *rig) { r.stop(); r.over(r.q); r.start() },
		"reload":  func(r *rig) { next := *r.cfg; r.d.Reload(&next) },
	} {
		t.Run(name, func(t *testing.T) {
			a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
				if n > 1 {
					return all(m, upstream.Outcome{})
				}
				return all(m, upstream.Outcome{Err: &upstream.Error{Class: upstream.Throttled, Status: 429, RetryAfter: 24 * time.Hour, Err: errors.New("quota used up")}})
			}}
			r := newRig(t, func(c *Config) { c.Upstreams[0].MaxConcurrent = 1 }, ups{"a": a})
			r.start()
			r.put("a", "x@example.org")
			r.await("the throttle", func() bool {
				return r.status("a").Reason == "throttled" && strings.Contains(r.journal(), "msg=deferred")
			})
			r.put("a", "y@example.org")
			again(r)
			r.awaitSent(2)
		})
	}
}

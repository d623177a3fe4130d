package deliver

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

type ups = map[string]*scripted

func TestSent(t *testing.T) {
	a := &scripted{}
	r := newRig(t, nil, ups{"a": a})
	id := r.put("a", "x@example.org", "y@example.org")
	r.start()
	r.awaitSent(2)
	if got := a.count(); got != 1 {
		t.Errorf("%d offers, want 1 for both recipients", got)
	}
	rec := r.history(envelope.Sent)[0]
	if rec.ID != id || rec.ProviderID != "p-"+id || rec.Upstream != "a" || rec.Attempts != 1 {
		t.Errorf("record %+v", rec)
	}
	if p := r.parts(); len(p) != 0 {
		t.Errorf("parts left: %+v", p)
	}
	// It is written once the result is stored.
	r.await("the line of the journal", func() bool { return strings.Contains(r.journal(), "msg=sent id="+id) })
}

func TestTemporaryIsRetriedOnSchedule(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n < 3 {
			return all(m, failing(upstream.Temporary, 450, "greylisted"))
		}
		return all(m, upstream.Outcome{ID: "ok"})
	}}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{50 * time.Millisecond, 100 * time.Millisecond} }, ups{"a": a})
	r.put("a", "x@example.org")
	r.start()
	r.awaitSent(1)
	if a.count() != 3 {
		t.Errorf("%d offers, want 3", a.count())
	}
	for i, least := range []time.Duration{44 * time.Millisecond, 89 * time.Millisecond} {
		if gap := a.times[i+1].Sub(a.times[i]); gap < least {
			t.Errorf("gap %d is %v, want at least %v", i, gap, least)
		}
	}
	if rec := r.history(envelope.Sent)[0]; rec.Attempts != 3 {
		t.Errorf("attempts %d, want 3", rec.Attempts)
	}
}

func TestOutcomesOfRecipientsAreTheirOwn(t *testing.T) {
	a := &scripted{}
	a.send = func(n int, m *upstream.Mail) []upstream.Outcome {
		out := make([]upstream.Outcome, len(m.To))
		for i, rcpt := range m.To {
			switch {
			case strings.HasPrefix(rcpt.Address, "bad"):
				out[i] = failing(upstream.Permanent, 550, "no such user")
			case strings.HasPrefix(rcpt.Address, "later") && n == 1:
				out[i] = failing(upstream.Temporary, 451, "later")
			default:
				out[i] = upstream.Outcome{ID: "ok"}
			}
		}
		return out
	}
	r := newRig(t, nil, ups{"a": a})
	r.put("a", "good@example.org", "bad@example.org", "later@example.org")
	r.start()
	r.awaitSent(2)
	part := r.awaitState(envelope.Failed)
	if len(part.To) != 1 || part.To[0].Address != "bad@example.org" || part.Progress.Error != "550: no such user" {
		t.Errorf("failed part %+v", part)
	}
	if want := []string{"bad@example.org", "good@example.org", "later@example.org", "later@example.org"}; !slices.Equal(a.offered(), want) {
		t.Errorf("offered %q, want %q", a.offered(), want)
	}
	b := r.bounced()
	if len(b) != 1 || !strings.HasPrefix(b[0], "sender@example.com\n") || !strings.Contains(b[0], "bad@example.org") {
		t.Errorf("bounces %q", b)
	}
}

func TestOnFailure(t *testing.T) {
	for _, c := range []struct {
		name, policy, rule, from string
		bounces, kept            int
	}{
		{"bounce", "bounce", "", "s@example.com", 1, 1},
		{"the null sender gets no bounce", "bounce", "", "", 0, 1},
		{"keep", "keep", "", "s@example.com", 0, 1},
		{"the route wins", "bounce", "keep", "s@example.com", 0, 1},
		{"discard", "bounce", "discard", "s@example.com", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
				return all(m, failing(upstream.Permanent, 550, "no"))
			}}
			r := newRig(t, func(cfg *Config) {
				cfg.Policy.OnFailure = c.policy
				cfg.Route = func(*queue.Message, *mime.Message) func(string) route.Decision {
					return func(string) route.Decision {
						return route.Decision{Action: route.Deliver, Via: []string{"a"}, OnFailure: c.rule}
					}
				}
			}, ups{"a": a})
			r.putFrom(c.from, "a", time.Now(), "x@example.org")
			r.start()
			r.await("the failure", func() bool { return strings.Contains(r.journal(), "msg=failed") })
			if got := len(r.bounced()); got != c.bounces {
				t.Errorf("%d bounces, want %d", got, c.bounces)
			}
			if got := len(r.parts()); got != c.kept {
				t.Errorf("%d parts kept, want %d", got, c.kept)
			}
			if c.kept == 0 && len(r.history(envelope.Failed)) != 1 {
				t.Error("a discarded failure is not in the history")
			}
		})
	}
}

func TestFailureIsNotFinalBeforeItsBounceIsStored(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Permanent, 550, "no"))
	}}
	r := newRig(t, nil, ups{"a": a})
	r.submit = errors.New("disk full")
	r.put("a", "x@example.org")
	r.start()
	r.await("the error", func() bool { return strings.Contains(r.journal(), "where=bounce") })
	r.await("the delay", func() bool { p := r.parts(); return len(p) == 1 && time.Until(p[0].NextAt) > time.Minute })
	if p := r.parts()[0]; p.State != envelope.Queued || p.Progress.Error != "550: no" {
		t.Errorf("part %+v", p)
	}
}

func TestUnrepresentable(t *testing.T) {
	refuse := func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Unrepresentable, 0, "it is signed"))
	}
	t.Run("goes to the next upstream at once", func(t *testing.T) {
		a, b := &scripted{send: refuse}, &scripted{}
		r := newRig(t, func(c *Config) { c.Route = via("a", "b"); c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a, "b": b})
		r.put("a", "x@example.org")
		r.start()
		r.awaitSent(1)
		if a.count() != 1 || b.count() != 1 {
			t.Errorf("offers %d and %d, want 1 and 1", a.count(), b.count())
		}
	})
	t.Run("settles what was uncertain", func(t *testing.T) {
		a, b := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
			if n == 1 {
				return all(m, failing(upstream.Uncertain, 502, "Bad Gateway"))
			}
			return all(m, failing(upstream.Unrepresentable, 413, "too large"))
		}}, &scripted{}
		r := newRig(t, func(c *Config) { c.Route = via("a", "b") }, ups{"a": a, "b": b})
		r.put("a", "x@example.org")
		r.start()
		r.awaitSent(1)
		if a.count() != 2 || b.count() != 1 {
			t.Errorf("offers %d and %d, want 2 and 1", a.count(), b.count())
		}
	})
	t.Run("bounces when none is left", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Route = via("a", "b") }, ups{"a": {send: refuse}, "b": {send: refuse}})
		r.put("a", "x@example.org")
		r.start()
		part := r.awaitState(envelope.Failed)
		if part.Progress.Class != "unrepresentable" || len(r.bounced()) != 1 {
			t.Errorf("part %+v, bounces %q", part, r.bounced())
		}
	})
}

func TestUncertainStays(t *testing.T) {
	lost := func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			return all(m, failing(upstream.Uncertain, 0, "the reply was lost"))
		}
		return all(m, upstream.Outcome{ID: "again"})
	}
	for _, c := range []struct {
		name, policy string
		keyed        time.Duration
		state        envelope.State
		a, b         int
	}{
		{"retry: same upstream", "retry", 0, envelope.Sent, 2, 0},
		{"hold", "hold", 0, envelope.Held, 1, 0},
		{"hold, but a key makes it safe", "hold", time.Hour, envelope.Sent, 2, 0},
		{"failover", "failover", 0, envelope.Sent, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := &scripted{send: lost, keyed: c.keyed}, &scripted{}
			r := newRig(t, func(cfg *Config) { cfg.Route = via("a", "b"); cfg.Policy.OnUncertain = c.policy }, ups{"a": a, "b": b})
			r.put("a", "x@example.org")
			r.start()
			if c.state == envelope.Sent {
				r.awaitSent(1)
			} else if p := r.awaitState(c.state); !p.Progress.Uncertain || p.Progress.Class != "uncertain" {
				t.Errorf("part %+v", p)
			}
			if a.count() != c.a || b.count() != c.b {
				t.Errorf("offers %d and %d, want %d and %d", a.count(), b.count(), c.a, c.b)
			}
			if a.count() > 1 && a.calls[0].ID != a.calls[1].ID {
				t.Errorf("the key changed: %q %q", a.calls[0].ID, a.calls[1].ID)
			}
			for i, m := range slices.Concat(a.calls, b.calls) { // the second offer to the same upstream alone
				if again := i == 1 && a.count() == 2; m.Again != again {
					t.Errorf("offer %d: again is %v", i, m.Again)
				}
			}
		})
	}
}

func TestUncertainStaysThroughTemporary(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		switch {
		case n == 1:
			return all(m, failing(upstream.Uncertain, 0, "lost"))
		case n < 6:
			return all(m, failing(upstream.Temporary, 503, "busy"))
		}
		return all(m, upstream.Outcome{})
	}}
	b := &scripted{}
	r := newRig(t, func(c *Config) { c.Route = via("a", "b"); c.Policy.FailoverAfter = 1 }, ups{"a": a, "b": b})
	r.put("a", "x@example.org")
	r.start()
	r.awaitSent(1)
	if b.count() != 0 {
		t.Error("an uncertain mail went to another upstream")
	}
}

func TestFailoverAfterTemporaryFailures(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Temporary, 451, "no"))
	}}
	b := &scripted{}
	r := newRig(t, func(c *Config) { c.Route = via("a", "b") }, ups{"a": a, "b": b})
	r.put("a", "x@example.org")
	r.start()
	r.awaitSent(1)
	if a.count() != 3 || b.count() != 1 {
		t.Errorf("offers %d and %d, want 3 and 1", a.count(), b.count())
	}
}

func TestTooOld(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Temporary, 451, "busy"))
	}}
	r := newRig(t, nil, ups{"a": a})
	r.putFrom("s@example.com", "a", time.Now().Add(-2*time.Hour), "x@example.org")
	r.start()
	p := r.awaitState(envelope.Failed)
	if !strings.Contains(p.Progress.Error, "given up after 1h0m0s") || !strings.Contains(p.Progress.Error, "busy") {
		t.Errorf("error %q", p.Progress.Error)
	}
	if len(r.bounced()) != 1 {
		t.Errorf("bounces %q", r.bounced())
	}
}

func TestPanicOfAnUpstreamIsAnOutcome(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			panic("bug")
		}
		return all(m, upstream.Outcome{})
	}}
	r := newRig(t, nil, ups{"a": a})
	r.put("a", "x@example.org", "y@example.org")
	r.start()
	r.awaitSent(2)
}

func TestDelayWarning(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n < 4 {
			return all(m, failing(upstream.Temporary, 451, "busy"))
		}
		return all(m, upstream.Outcome{})
	}}
	for name, tc := range map[string]struct {
		after  []time.Duration
		before envelope.Progress
		want   int
	}{
		"never":                      {nil, envelope.Progress{}, 0},
		"once":                       {[]time.Duration{time.Minute}, envelope.Progress{}, 1},
		"not yet":                    {[]time.Duration{time.Hour}, envelope.Progress{}, 0},
		"for the last that passed":   {[]time.Duration{time.Minute, 5 * time.Minute, time.Hour}, envelope.Progress{}, 1},
		"again":                      {[]time.Duration{time.Minute, 5 * time.Minute}, envelope.Progress{Warned: true, Warnings: 1}, 1},
		"again, of an older program": {[]time.Duration{time.Minute, 5 * time.Minute}, envelope.Progress{Warned: true}, 1},
		"all told":                   {[]time.Duration{time.Minute, 5 * time.Minute}, envelope.Progress{Warned: true, Warnings: 2}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a.mu.Lock()
			a.calls = nil
			a.mu.Unlock()
			r := newRig(t, func(c *Config) { c.Policy.WarnAfter = tc.after }, ups{"a": a})
			r.putPart("s@example.com", "a", time.Now().Add(-10*time.Minute), queue.Part{Progress: tc.before}, "x@example.org")
			r.start()
			r.awaitSent(1)
			if b := r.bounced(); len(b) != tc.want || tc.want > 0 && !strings.Contains(b[0], "Action: delayed") {
				t.Errorf("want %d warnings, got %q", tc.want, b)
			}
		})
	}
}

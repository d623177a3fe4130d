package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/upstream"
)

func newGate() *Gate {
	return New(Settings{Name: "a", MaxConcurrent: 4, Retry: []time.Duration{20 * time.Millisecond}, MaxAge: time.Hour},
		journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()))
}

func TestNames(t *testing.T) {
	if s := fmt.Sprint(Open, Probing, Closed, Unreachable, Throttled, Account, Quota, Paused); s != "open probing closed unreachable throttled account quota paused" {
		t.Error(s)
	}
}

func TestGateLearns(t *testing.T) {
	fail := func(c upstream.Class, status int) error {
		return &upstream.Error{Class: c, Status: status, Err: errors.New("x")}
	}
	for _, c := range []struct {
		name  string
		state State // before
		err   error
		mails int // that meet it
		want  State
	}{
		{"taken", Probing, nil, 1, Open},
		{"refused for good: it works", Probing, fail(upstream.Permanent, 550), 1, Open},
		{"greylisted: it speaks", Probing, fail(upstream.Temporary, 450), 1, Open},
		{"one sender is not verified: the account works", Probing, &upstream.Error{Class: upstream.Account, Sender: true, Err: errors.New("x")}, 1, Open},
		{"broken again", Probing, fail(upstream.Temporary, 503), 1, Closed},
		{"silent again", Probing, fail(upstream.Uncertain, 0), 1, Closed},
		{"cannot carry it: nothing is learnt", Probing, fail(upstream.Unrepresentable, 0), 1, Probing},
		{"one broken answer", Open, fail(upstream.Temporary, 503), 1, Open},
		{"many broken answers", Open, fail(upstream.Temporary, 503), brokenLimit, Closed},
		{"many lost replies", Open, fail(upstream.Uncertain, 0), brokenLimit, Closed},
		{"many answers that cannot be read", Open, fail(upstream.Uncertain, 200), brokenLimit, Open},
		{"many greylisted", Open, fail(upstream.Temporary, 450), brokenLimit, Open},
		{"a full disk, told of one mail", Open, &upstream.Error{Status: 452, Outage: true, Err: errors.New("x")}, 1, Open},
		{"a full disk", Open, &upstream.Error{Status: 452, Outage: true, Err: errors.New("x")}, brokenLimit, Closed},
		{"a full disk still", Probing, &upstream.Error{Status: 452, Outage: true, Err: errors.New("x")}, 1, Closed},
		{"many bad recipients", Open, fail(upstream.Permanent, 550), brokenLimit, Open},
		{"throttled", Open, fail(upstream.Throttled, 429), 1, Closed},
		{"wrong key", Open, fail(upstream.Account, 401), 1, Closed},
		{"unclassified", Open, errors.New("x"), 1, Open},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate()
			g.state, g.reason = c.state, Unreachable
			for n := range c.mails {
				g.Learn(fmt.Sprint(n), c.err)
			}
			if got := g.State(); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// A probe that hung for as long as the pause is followed by the next at once: who answers again is noticed
// within five seconds.
func TestPauseCountsFromTheProbe(t *testing.T) {
	g := newGate()
	err := &upstream.Error{Connect: true, Err: errors.New("silence")}
	for range 5 {
		g.close(Unreachable, err, time.Minute)
	}
	g.Postpone(time.Now(), err)
	if g.ProbeDue() {
		t.Error("no pause after a quick refusal")
	}
	g.Postpone(time.Now().Add(-ProbeMax), err)
	if !g.ProbeDue() {
		t.Error("a pause beside the probe's own")
	}
}

// TestStatusOfAPause: an open gate that a provider asked to pause says until when.
func TestStatusOfAPause(t *testing.T) {
	g := newGate()
	if s := g.Status(); !s.NextProbe.IsZero() {
		t.Errorf("%+v", s)
	}
	g.Quiet([]upstream.Outcome{{Pause: 5 * time.Second}})
	if s := g.Status(); s.State != "open" || s.NextProbe.Before(time.Now()) {
		t.Errorf("%+v", s)
	}
}

// TestNextToken: a rate that is used up says when it allows the next offer.
func TestNextToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Settings{Name: "a", MaxConcurrent: 4, Rate: 1.0 / 60, Retry: []time.Duration{time.Minute}, MaxAge: time.Hour},
			journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()))
		if at := g.Status().NextToken; !at.IsZero() {
			t.Errorf("a rate that is not used: %v", at)
		}
		g.Spend(t.Context(), 1)
		time.Sleep(40 * time.Second)
		if wait := time.Until(g.Status().NextToken).Round(time.Millisecond); wait != 20*time.Second {
			t.Errorf("the next offer is in %v, want 20 s", wait)
		}
	})
}

// TestProbesThatAreAskedFor: who looks again and again does not make the outage longer; what fails in its turn does.
func TestProbesThatAreAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &upstream.Error{Class: upstream.Account, Err: errors.New("wrong key")}
		g := New(Settings{Name: "a", MaxConcurrent: 4, Retry: []time.Duration{time.Minute, time.Hour, 24 * time.Hour}, MaxAge: time.Hour},
			journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()))
		next := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Until(g.Status().NextProbe); got != want {
				t.Errorf("%s: the next probe is in %v, want %v", what, got, want)
			}
		}
		g.Learn("1", refused)
		next("the first refusal", time.Minute)
		for range 5 {
			g.ProbeSoon()
			g.TryProbe()
			g.Learn("1", refused)
			next("a probe that was asked for", time.Minute)
		}
		time.Sleep(time.Minute)
		g.TryProbe()
		g.Learn("1", refused)
		next("a probe in its turn", time.Hour)
	})
}

// Mail is given up at a closed gate only when the upstream has failed since its time ran out.
func TestProbeSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.ProbeSoon()
		if g.State() != Open || g.TriedWithin(time.Hour) {
			t.Error("a new gate was tried or is not open")
		}
		g.Learn("1", &upstream.Error{Class: upstream.Account, RetryAfter: time.Hour, Err: errors.New("wrong key")})
		time.Sleep(time.Minute)
		if g.ProbeDue() || g.TriedWithin(59*time.Second) || !g.TriedWithin(time.Minute) {
			t.Error("the gate is to be probed, or does not know when it was tried")
		}
		g.ProbeSoon()
		if !g.ProbeDue() {
			t.Error("the gate is not to be probed")
		}
	})
}

// TestTurned: whoever probes hears of each turn, whether or not somebody else has taken the token of Changed.
func TestTurned(t *testing.T) {
	g := newGate()
	for i, turn := range []func(){func() { g.Pause(Pause{By: "ann"}) }, func() { g.Resume("ann") }} {
		turn()
		for _, token := range []<-chan struct{}{g.Changed(), g.Turned()} {
			select {
			case <-token:
			default:
				t.Errorf("turn %d: no token", i)
			}
		}
	}
}

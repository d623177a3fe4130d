package deliver

import (
	"errors"
	"slices"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

func uncertain(m *upstream.Mail) []upstream.Outcome {
	return all(m, failing(upstream.Uncertain, 0, "the reply was lost"))
}

// recipients returns the recipients of each offer.
func (s *scripted) recipients() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list [][]string
	for _, m := range s.calls {
		var to []string
		for _, r := range m.To {
			to = append(to, r.Address)
		}
		list = append(list, to)
	}
	return list
}

func TestUncertainWhenTheKeyIsNoLongerKnown(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		since        time.Duration
		state        envelope.State
		offers       int
	}{
		{"hold", "hold", 25 * time.Hour, envelope.Held, 0},
		{"hold, still known", "hold", time.Hour, envelope.Sent, 1},
		{"retry", "retry", 25 * time.Hour, envelope.Sent, 1},
		{"retry, still known", "retry", time.Hour, envelope.Sent, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := &scripted{keyed: 24 * time.Hour}, &scripted{}
			r := newRig(t, func(cfg *Config) { cfg.Route = via("b", "a"); cfg.Policy.OnUncertain = c.policy }, ups{"a": a, "b": b})
			r.putPart("s@example.com", "a", time.Now(), queue.Part{Progress: envelope.Progress{Upstream: "a", Tries: 1, Attempts: 1,
				Uncertain: true, Since: time.Now().Add(-c.since), Class: "uncertain", Error: "lost"}}, "x@example.org")
			r.start()
			if c.state == envelope.Sent {
				r.awaitSent(1)
			} else if p := r.awaitState(c.state); !p.Progress.Uncertain || p.Progress.Error != "lost" {
				t.Errorf("part %+v", p)
			}
			if a.count() != c.offers || b.count() != 0 {
				t.Errorf("offers %d and %d, want %d and 0", a.count(), b.count(), c.offers)
			}
		})
	}
}

// An offer that the end of a process or of a lease interrupted may have been taken.
func TestInterruptedOfferIsUncertain(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		keyed        time.Duration
		atA, atB     int // offers
		state        envelope.State
	}{
		{"retry", "retry", time.Hour, 2, 0, envelope.Sent},
		{"retry without keys", "retry", 0, 2, 0, envelope.Sent},
		{"hold", "hold", time.Hour, 2, 0, envelope.Sent},
		{"hold without keys", "hold", 0, 0, 0, envelope.Held},
		{"failover", "failover", 0, 0, 1, envelope.Sent},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := &scripted{keyed: c.keyed, send: func(n int, m *upstream.Mail) []upstream.Outcome {
				if n == 1 {
					return all(m, failing(upstream.Temporary, 503, "away"))
				}
				return all(m, upstream.Outcome{})
			}}, &scripted{}
			r := newRig(t, func(cfg *Config) {
				cfg.Route, cfg.Policy.OnUncertain, cfg.Policy.FailoverAfter = via("b", "a"), c.policy, 1
			}, ups{"a": a, "b": b})
			r.put("a", "x@example.org")
			if leases, err := r.q.Claim(t.Context(), "a", 1, time.Millisecond); len(leases) != 1 || err != nil {
				t.Fatal(leases, err)
			}
			time.Sleep(2 * time.Millisecond)
			r.start()
			if c.state == envelope.Sent {
				r.awaitSent(1)
			} else if p := r.awaitState(c.state); !p.Progress.Uncertain || p.Progress.Upstream != "a" || p.Progress.Error == "" {
				t.Errorf("part %+v", p)
			}
			if a.count() != c.atA || b.count() != c.atB {
				t.Errorf("offers %d and %d, want %d and %d", a.count(), b.count(), c.atA, c.atB)
			}
		})
	}
}

func TestUncertainReleasedIsOfferedAgain(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			return uncertain(m)
		}
		return all(m, upstream.Outcome{})
	}}
	r := newRig(t, func(cfg *Config) { cfg.Policy.OnUncertain = "hold" }, ups{"a": a})
	id := r.put("a", "x@example.org")
	r.start()
	r.awaitState(envelope.Held)
	if n, err := r.q.Release(t.Context(), queue.Filter{IDs: []string{id}}, "root"); n.Messages != 1 || err != nil {
		t.Fatalf("release: %d %v", n, err)
	}
	r.awaitSent(1)
}

func TestUncertainWaitsForAnUpstreamThatTheConfigLost(t *testing.T) {
	b := &scripted{}
	r := newRig(t, func(cfg *Config) { cfg.Route = via("b") }, ups{"b": b})
	id := r.putPart("s@example.com", "gone", time.Now(), queue.Part{Progress: envelope.Progress{Upstream: "gone", Uncertain: true,
		Since: time.Now(), Class: "uncertain"}}, "x@example.org")
	r.start()
	r.awaitState(envelope.Held)
	if b.count() != 0 {
		t.Error("an uncertain mail went to another upstream")
	}
	// An operator may decide otherwise.
	if n, err := r.q.Release(t.Context(), queue.Filter{IDs: []string{id}}, "root"); n.Messages != 1 || err != nil {
		t.Fatalf("release: %d %v", n, err)
	}
	r.awaitSent(1)
}

// An API may need several calls for one mail: each is repeated with its own recipients, whatever became
// of the others, for its key stands for them.
func TestUncertainCallsAreRepeatedAlone(t *testing.T) {
	lost := errors.New("connection reset") // the same words of each
	a := &scripted{keyed: time.Hour}
	a.send = func(n int, m *upstream.Mail) []upstream.Outcome {
		if n > 1 {
			return all(m, upstream.Outcome{ID: "ok"})
		}
		e1 := &upstream.Error{Class: upstream.Uncertain, Err: lost}
		e2 := &upstream.Error{Class: upstream.Uncertain, Err: lost}
		return []upstream.Outcome{{Err: e1}, {Err: e1}, failing(upstream.Permanent, 422, "no"), {Err: e2}}
	}
	r := newRig(t, nil, ups{"a": a})
	r.put("a", "a@example.org", "b@example.org", "c@example.org", "d@example.org")
	r.start()
	r.awaitSent(3)
	got := a.recipients()[1:]
	slices.SortFunc(got, func(x, y []string) int { return slices.Compare(x, y) })
	want := [][]string{{"a@example.org", "b@example.org"}, {"d@example.org"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("repeated %q, want %q", got, want)
	}
}

// Without keys nothing is gained by keeping calls apart.
func TestUncertainRecipientsOfARelayStayTogether(t *testing.T) {
	a := &scripted{}
	a.send = func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			return []upstream.Outcome{failing(upstream.Uncertain, 0, "lost"), failing(upstream.Uncertain, 0, "lost")}
		}
		return all(m, upstream.Outcome{})
	}
	r := newRig(t, nil, ups{"a": a})
	r.put("a", "a@example.org", "b@example.org")
	r.start()
	r.awaitSent(2)
	if a.count() != 2 {
		t.Errorf("%d offers, want 2", a.count())
	}
}

// TestUncertainKeepsItsKey: the provider recognises the next offer, however many there were and whatever they ended with.
func TestUncertainKeepsItsKey(t *testing.T) {
	a := &scripted{keyed: time.Hour}
	a.send = func(n int, m *upstream.Mail) []upstream.Outcome {
		switch n {
		case 1, 2:
			return uncertain(m)
		case 3:
			return all(m, failing(upstream.Temporary, 503, "away"))
		}
		return all(m, upstream.Outcome{})
	}
	r := newRig(t, nil, ups{"a": a})
	id := r.put("a", "x@example.org")
	r.start()
	r.awaitSent(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, m := range a.calls {
		if m.ID != id || m.Key != a.calls[0].Key || m.Again != (i > 0) || len(m.To) != 1 {
			t.Errorf("offer %d: id %s, key %q, again %v, to %v", i+1, m.ID, m.Key, m.Again, m.To)
		}
	}
}

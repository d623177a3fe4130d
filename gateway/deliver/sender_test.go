package deliver

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

func notVerified(words string) upstream.Outcome {
	return upstream.Outcome{Err: &upstream.Error{Class: upstream.Account, Sender: true, Status: 403, Err: errors.New(words)}}
}

// choosy is an upstream that takes no mail from this address, and none is tried for an hour.
func choosy(from string) *scripted {
	refusal := notVerified("not verified")
	offer.Failure(refusal.Err).RetryAfter = time.Hour
	return choosyBy(from, refusal)
}

// choosyBy is an upstream that refuses mail from this address so.
func choosyBy(from string, refusal upstream.Outcome) *scripted {
	return &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		if mime.AddressKey(m.Message.From[0].Addr) == from {
			return all(m, refusal)
		}
		return all(m, upstream.Outcome{})
	}}
}

// waitFor waits until the part of a recipient waits in a lane for its From to be taken.
func (r *rig) waitFor(lane, rcpt string) queue.Part {
	r.t.Helper()
	var found queue.Part
	r.await(rcpt+" to wait for "+lane, func() bool {
		for _, p := range r.parts() {
			if p.To[0].Address == rcpt && p.Lane == lane && p.Progress.RefusedFrom != "" {
				found = p
				return true
			}
		}
		return false
	})
	return found
}

// TestRefusedSenderWaits: the first mail is refused, and what comes after it waits without an offer, with the provider's words,
// for minutes whatever the schedule says; other addresses of the domain go on.
func TestRefusedSenderWaits(t *testing.T) {
	a := choosyBy("root@example.com", notVerified("not verified"))
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.start()
	for n, rcpt := range []string{"x@example.org", "y@example.org"} {
		r.putFrom("root@example.com", "a", time.Now(), rcpt, "z"+rcpt)
		p := r.waitFor("a", rcpt)
		if wait := time.Until(p.NextAt); wait < 10*time.Second || wait > 2*time.Minute {
			t.Errorf("%s waits %v", rcpt, wait)
		}
		if q := p.Progress; len(p.To) != 2 || q.Error != "403: not verified" || q.Class != "account" || q.Status != 403 || q.RefusedFrom != "root@example.com" || q.Attempts != 1-n {
			t.Errorf("%d recipients, %+v", len(p.To), q)
		}
	}
	r.putFrom("noreply@example.com", "a", time.Now(), "o@example.org")
	r.awaitSent(1)
	if a.count() != 2 {
		t.Errorf("%d offers, want 2", a.count())
	}
	if s := r.status("a"); s.State != "open" || len(s.Refused) != 1 || s.Refused[0].Error() != "403: not verified" {
		t.Errorf("%+v", s)
	}
}

// TestRefusedSenderFailsOver: mail that an upstream does not take goes to the next one at once, that which comes after it too;
// where that refuses it as well, it waits.
func TestRefusedSenderFailsOver(t *testing.T) {
	a, b := choosy("root@example.com"), &scripted{}
	refused := &atomic.Bool{}
	b.send = func(_ int, m *upstream.Mail) []upstream.Outcome {
		if refused.Load() {
			return all(m, notVerified("not at b"))
		}
		return all(m, upstream.Outcome{})
	}
	r := newRig(t, func(c *Config) { c.Route = via("a", "b"); c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a, "b": b})
	for range 5 {
		r.putFrom("root@example.com", "a", time.Now(), "x@example.org", "y@example.org")
	}
	r.start()
	r.awaitSent(10)
	offers := a.count()
	r.putFrom("root@example.com", "a", time.Now(), "y@example.org")
	r.awaitSent(11)
	if s := r.status("a"); s.State != "open" || a.count() != offers {
		t.Errorf("%+v after %d offers", s, a.count())
	}
	refused.Store(true)
	for _, rcpt := range []string{"p@example.org", "q@example.org"} {
		r.putFrom("root@example.com", "a", time.Now(), rcpt)
		r.await("its words", func() bool {
			return slices.ContainsFunc(r.parts(), func(p queue.Part) bool {
				return p.To[0].Address == rcpt && p.Progress.RefusedFrom != "" && p.NextAt.After(time.Now())
			})
		})
	}
	if s := r.status("b"); len(s.Refused) != 1 || a.count() != offers {
		t.Errorf("%+v, %d offers", s, a.count())
	}
}

// TestRefusedSenderIsTaken: one mail that is taken lets all of that From go.
func TestRefusedSenderIsTaken(t *testing.T) {
	verified := &atomic.Bool{}
	a := choosy("root@example.com")
	refuse := a.send
	a.send = func(n int, m *upstream.Mail) []upstream.Outcome {
		if verified.Load() {
			return all(m, upstream.Outcome{})
		}
		return refuse(n, m)
	}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.start()
	first := r.putFrom("root@example.com", "a", time.Now(), "x@example.org")
	r.waitFor("a", "x@example.org")
	r.putFrom("root@example.com", "a", time.Now(), "y@example.org")
	r.waitFor("a", "y@example.org")
	if a.count() != 1 {
		t.Errorf("%d offers, want 1", a.count())
	}
	verified.Store(true)
	if _, err := r.q.Retry(t.Context(), queue.Filter{IDs: []string{first}}, "root"); err != nil {
		t.Fatal(err)
	}
	r.awaitSent(2)
}

// TestOperatorsHaveARefusedSenderTried: each has one mail offered, and the others wait for what it shows.
func TestOperatorsHaveARefusedSenderTried(t *testing.T) {
	a := choosy("root@example.com")
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.start()
	var ids []string
	for _, rcpt := range []string{"x@example.org", "y@example.org"} {
		ids = append(ids, r.putFrom("root@example.com", "a", time.Now(), rcpt))
		r.waitFor("a", rcpt)
	}
	second := queue.Filter{IDs: ids[1:]}
	for n, act := range []func() error{
		func() error { return r.d.Flush(t.Context(), "a") },
		func() error { _, err := r.q.Retry(t.Context(), second, "root"); return err },
		func() error {
			_, err := r.q.Hold(t.Context(), second, "root")
			if err == nil {
				_, err = r.q.Release(t.Context(), second, "root")
			}
			return err
		},
		func() error { // while it is paused nothing is offered
			g := r.d.current.Load().lanes["a"].gate
			g.Pause(gate.Pause{By: "root", At: time.Now()})
			offers := a.count()
			err := r.d.Flush(t.Context(), "a")
			r.await("a sweep", func() bool { return !g.SweepDue() })
			if a.count() != offers {
				t.Error("an offer to a paused upstream")
			}
			g.Resume("root")
			return errors.Join(err, r.d.Flush(t.Context(), "a"))
		},
	} {
		before := a.count()
		if err := act(); err != nil {
			t.Fatal(n, err)
		}
		r.await("an offer", func() bool { return a.count() > before }) // both may go before the first answer is there
		r.await("their words", func() bool {
			parts := r.parts()
			return len(parts) == 2 && !slices.ContainsFunc(parts, func(p queue.Part) bool { return p.Progress.RefusedFrom == "" || !p.NextAt.After(time.Now()) })
		})
	}
}

// TestMoveTriesARefusedSender: mail that an operator moves to an upstream is offered to it, whatever it refused before.
func TestMoveTriesARefusedSender(t *testing.T) {
	a, b := choosy("root@example.com"), choosy("root@example.com")
	r := newRig(t, func(c *Config) {
		c.Policy.Retry = []time.Duration{time.Hour}
		c.Route = func(m *queue.Message, _ *mime.Message) func(string) route.Decision {
			return func(rcpt string) route.Decision {
				return route.Decision{Name: "test", Action: route.Deliver, Via: []string{rcpt[:1]}}
			}
		}
	}, ups{"a": a, "b": b})
	r.start()
	r.putFrom("root@example.com", "a", time.Now(), "a@example.org")
	r.waitFor("a", "a@example.org")
	r.putFrom("root@example.com", "b", time.Now(), "b@example.org")
	r.waitFor("b", "b@example.org")
	if _, err := r.q.Move(t.Context(), queue.Filter{Lane: "b"}, "a", "root"); err != nil {
		t.Fatal(err)
	}
	r.await("an offer", func() bool { return a.count() >= 2 })
	if b.count() != 1 {
		t.Errorf("%d offers to b", b.count())
	}
}

// TestRefusedSenderAtAnUncertainPart: what may have been taken stays with its upstream, and keeps that it may.
func TestRefusedSenderAtAnUncertainPart(t *testing.T) {
	a, b := choosy("root@example.com"), &scripted{}
	a.keyed = time.Hour
	r := newRig(t, func(c *Config) { c.Route = via("a", "b"); c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a, "b": b})
	r.start()
	r.putFrom("root@example.com", "a", time.Now(), "x@example.org")
	r.awaitSent(1) // by b
	unsure := envelope.Progress{Attempts: 1, Tries: 1, Upstream: "a", Uncertain: true, Digest: "d", Since: time.Now(), LastAttempt: time.Now()}
	r.putPart("root@example.com", "a", time.Now(), queue.Part{Progress: unsure}, "y@example.org")
	p := r.waitFor("a", "y@example.org")
	if q := p.Progress; !q.Uncertain || q.Digest != "d" || q.Error != "403: not verified" || a.count() != 1 || b.count() != 1 {
		t.Errorf("%+v; %d offers to a, %d to b", q, a.count(), b.count())
	}
}

// TestRefusedSenderIsGivenUp: mail whose time is over is offered once more, and then its sender has the provider's words.
func TestRefusedSenderIsGivenUp(t *testing.T) {
	a := choosy("root@example.com")
	r := newRig(t, nil, ups{"a": a})
	r.start()
	r.putFrom("root@example.com", "a", time.Now(), "x@example.org")
	r.waitFor("a", "x@example.org")
	r.putFrom("root@example.com", "a", time.Now().Add(-2*time.Hour), "late@example.org")
	r.await("the bounce", func() bool { return len(r.bounced()) == 1 })
	if a.count() != 2 || !strings.Contains(r.bounced()[0], "not verified") {
		t.Errorf("%d offers; %s", a.count(), r.bounced())
	}
}

// TestRefusedSenderProbes: mail of a From that is refused may show that a closed upstream works.
func TestRefusedSenderProbes(t *testing.T) {
	a := choosy("root@example.com")
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.start()
	r.putFrom("root@example.com", "a", time.Now(), "x@example.org")
	r.waitFor("a", "x@example.org")
	g := r.d.current.Load().lanes["a"].gate
	g.Learn("1", &upstream.Error{Class: upstream.Account, Status: 401, Err: errors.New("wrong key")})
	r.putFrom("root@example.com", "a", time.Now(), "y@example.org")
	g.ProbeSoon()
	r.await("the gate to open", func() bool { return r.status("a").State == "open" })
	if a.count() != 2 {
		t.Errorf("%d offers, want 2", a.count())
	}
}

// TestReloadTriesRefusedSenders: a new config may have another From, so that all is tried anew.
func TestReloadTriesRefusedSenders(t *testing.T) {
	a := choosy("root@example.com")
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.start()
	r.putFrom("root@example.com", "a", time.Now(), "x@example.org")
	r.waitFor("a", "x@example.org")
	next := *r.cfg
	next.Upstreams = slices.Clone(r.cfg.Upstreams)
	next.Upstreams[0].Departure = func(_ string, env *envelope.Envelope, _ *mime.Message) (string, []mime.Edit) {
		return env.From, []mime.Edit{{Op: mime.Replace, Name: "From", Value: "noreply@example.com"}}
	}
	r.d.Reload(&next)
	r.awaitSent(1)
}

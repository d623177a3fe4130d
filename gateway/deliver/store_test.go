package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// faulty is a store that fails as a test decides, and counts.
type faulty struct {
	queue.Queue
	claims, lanes atomic.Int64
	elsewhere     atomic.Bool // another gateway serves all lanes
	claim         func() error
	finish        func() error
	extend        func() error
	body          func() error
	take          func() error
	looked        func() // after the lanes were read
}

func (f *faulty) Take(ctx context.Context, o queue.Offer) (queue.Grant, error) {
	if f.take != nil {
		if err := f.take(); err != nil {
			return queue.Grant{}, err
		}
	}
	return f.Queue.Take(ctx, o)
}

func (f *faulty) Claim(ctx context.Context, lane string, n int, d time.Duration) ([]queue.Lease, error) {
	f.claims.Add(1)
	if f.claim != nil {
		if err := f.claim(); err != nil {
			return nil, err
		}
	}
	leases, err := f.Queue.Claim(ctx, lane, n, d)
	for i, l := range leases {
		leases[i] = &faultyLease{l, f}
	}
	return leases, err
}

func (f *faulty) Lanes(ctx context.Context) (map[string]queue.Lane, error) {
	f.lanes.Add(1)
	lanes, err := f.Queue.Lanes(ctx)
	if f.looked != nil {
		f.looked()
	}
	for name, l := range lanes {
		l.Served = l.Served || f.elsewhere.Load()
		lanes[name] = l
	}
	return lanes, err
}

type faultyLease struct {
	queue.Lease
	f *faulty
}

func (l *faultyLease) Finish(ctx context.Context, r queue.Result) error {
	if l.f.finish != nil {
		if err := l.f.finish(); err != nil {
			return err
		}
	}
	return l.Lease.Finish(ctx, r)
}

func (l *faultyLease) Extend(ctx context.Context, d time.Duration) error {
	if l.f.extend != nil {
		if err := l.f.extend(); err != nil {
			return err
		}
	}
	return l.Lease.Extend(ctx, d)
}

func (l *faultyLease) Body() (queue.Body, error) {
	if l.f.body != nil {
		if err := l.f.body(); err != nil {
			return nil, err
		}
	}
	return l.Lease.Body()
}

func faultyRig(t *testing.T, change func(*Config), u ups) (*rig, *faulty) {
	r := newRig(t, change, u)
	f := &faulty{Queue: r.q}
	r.over(f)
	return r, f
}

// What was sent and cannot be recorded for want of space is recorded later, and not sent again.
func TestResultsWaitForSpace(t *testing.T) {
	a := &scripted{}
	r, f := faultyRig(t, func(c *Config) { c.Upstreams[0].MaxConcurrent = 1 }, ups{"a": a})
	var full atomic.Int64
	f.finish = func() error {
		if full.Add(1) <= 3 {
			return fmt.Errorf("%w: no bytes", queue.ErrFull)
		}
		return nil
	}
	r.put("a", "x@example.org")
	r.put("a", "y@example.org")
	r.start()
	r.await("the first", func() bool { return a.count() == 1 && full.Load() >= 2 })
	if a.count() != 1 {
		t.Error("more was sent while a result could not be stored")
	}
	r.awaitSent(2)
	if want := []string{"x@example.org", "y@example.org"}; !slices.Equal(a.offered(), want) {
		t.Errorf("offered %q, want each once", a.offered())
	}
}

// Whatever keeps results from being stored, and for however long: what was sent is not sent again, and as long as
// it lasts nothing else is offered, in no lane.
func TestNothingIsOfferedWhileResultsCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &scripted{}, &scripted{}
		r, f := faultyRig(t, func(c *Config) {
			c.Route = func(*queue.Message, *mime.Message) func(string) route.Decision {
				return func(to string) route.Decision {
					return route.Decision{Name: "test", Action: route.Deliver, Via: []string{to[:1]}}
				}
			}
		}, ups{"a": a, "b": b})
		var locked atomic.Bool
		locked.Store(true)
		f.finish = func() error {
			if locked.Load() {
				return errors.New("database is locked")
			}
			return nil
		}
		for n := range 5 {
			r.put("a", fmt.Sprintf("a%d@example.org", n))
		}
		r.start()
		defer r.stop()
		time.Sleep(10 * time.Second)
		r.put("b", "b@example.org")
		time.Sleep(130 * time.Second)
		if a.count() == 0 || a.count() > 4 || b.count() != 0 {
			t.Errorf("%d and %d offers while nothing could be stored; at most max_concurrent can have begun", a.count(), b.count())
		}
		locked.Store(false)
		r.awaitSent(6)
		if a.count() != 5 || b.count() != 1 {
			t.Errorf("%d and %d offers, want each mail once", a.count(), b.count())
		}
	})
}

// A result that no store can take, by a fault of the program, leaves the mail to a person.
func TestResultThatForgetsARecipient(t *testing.T) {
	r := newRig(t, nil, ups{"a": {}})
	r.put("a", "x@example.org")
	leases, err := r.q.Claim(t.Context(), "a", 1, time.Hour)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	g := newGeneration(&r.d.services, r.cfg, false)
	m := leases[0].Message()
	newAttempt(g.lanes["a"], m, m.Parts[0], nil).finish(t.Context(), leases[0])
	if p := r.awaitState(envelope.Held); !p.Progress.Uncertain || p.Progress.Error == "" {
		t.Errorf("held with %+v", p.Progress)
	}
}

// A store that has failed for good is not asked again: the program ends and starts anew.
func TestResultsOfABrokenStore(t *testing.T) {
	r, f := faultyRig(t, nil, ups{"a": {}})
	var asked atomic.Int64
	f.finish = func() error { asked.Add(1); return queue.ErrBroken }
	r.put("a", "x@example.org")
	r.start()
	r.await("the error", func() bool { return strings.Contains(r.journal(), "where=queue") })
	r.stop()
	if asked.Load() != 1 || strings.Contains(r.journal(), "msg=sent") {
		t.Errorf("asked %d times\n%s", asked.Load(), r.journal())
	}
}

// The drain ends also when results cannot be stored.
func TestStopWithAFullStore(t *testing.T) {
	r, f := faultyRig(t, func(c *Config) { c.Policy.Drain = 50 * time.Millisecond }, ups{"a": {}})
	f.finish = func() error { return queue.ErrFull }
	r.put("a", "x@example.org")
	r.start()
	r.await("the error", func() bool { return strings.Contains(r.journal(), "where=queue") })
	start := time.Now()
	r.stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

func TestUnreadableMailWaitsAndExpires(t *testing.T) {
	for _, c := range []struct {
		name string
		age  time.Duration
		want envelope.State
	}{{"waits", 0, envelope.Queued}, {"expires", 2 * time.Hour, envelope.Failed}} {
		t.Run(c.name, func(t *testing.T) {
			a := &scripted{}
			r, f := faultyRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
			f.body = func() error { return queue.ErrDamaged }
			r.putFrom("s@example.com", "a", time.Now().Add(-c.age), "x@example.org")
			r.start()
			r.await("its state", func() bool {
				p := r.parts()
				return len(p) == 1 && p[0].State == c.want && strings.Contains(p[0].Progress.Error, "damaged") && p[0].Progress.Attempts == 1
			})
			if bounced := len(r.bounced()) == 1; bounced != (c.want == envelope.Failed) || a.count() != 0 {
				t.Errorf("bounces %q, %d offers", r.bounced(), a.count())
			}
		})
	}
}

// Nothing spins: not at a closed gate with mail due, not when the store fails.
func TestLanesRest(t *testing.T) {
	t.Parallel()
	// What is under way may take its time; then there must be 600 ms of rest.
	watch := func(t *testing.T, f *faulty) {
		var claims, lanes int64
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			claims, lanes = f.claims.Load(), f.lanes.Load()
			time.Sleep(600 * time.Millisecond)
			if claims, lanes = f.claims.Load()-claims, f.lanes.Load()-lanes; claims <= 6 && lanes <= 6 {
				return
			}
		}
		t.Errorf("%d claims and %d looks at the lanes in 600 ms", claims, lanes)
	}
	t.Run("gate closed", func(t *testing.T) {
		t.Parallel()
		a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
			return all(m, upstream.Outcome{Err: &upstream.Error{Class: upstream.Account, RetryAfter: time.Hour, Err: errors.New("wrong key")}})
		}}
		r, f := faultyRig(t, nil, ups{"a": a})
		for range 50 {
			r.put("a", "x@example.org")
		}
		r.start()
		r.await("the closing", func() bool { return r.status("a").State == "closed" && r.status("a").InFlight == 0 })
		watch(t, f)
	})
	t.Run("both gates closed", func(t *testing.T) {
		t.Parallel()
		refuse := func(_ int, m *upstream.Mail) []upstream.Outcome {
			return all(m, upstream.Outcome{Err: &upstream.Error{Class: upstream.Account, RetryAfter: time.Hour, Err: errors.New("wrong key")}})
		}
		r, f := faultyRig(t, func(c *Config) { c.Route = via("a", "b"); c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": {send: refuse}, "b": {send: refuse}})
		for range 50 {
			r.put("a", "x@example.org")
		}
		r.start()
		r.await("the closing", func() bool { return r.status("a").State == "closed" && r.status("b").State == "closed" })
		watch(t, f)
	})
	t.Run("claims fail", func(t *testing.T) {
		t.Parallel()
		r, f := faultyRig(t, nil, ups{"a": {}})
		f.claim = func() error { return queue.ErrBroken }
		r.put("a", "x@example.org")
		r.start()
		r.await("the error", func() bool { return strings.Contains(r.journal(), "where=queue") })
		watch(t, f)
	})
	t.Run("nothing to do", func(t *testing.T) {
		t.Parallel()
		r, f := faultyRig(t, nil, ups{"a": {}})
		r.start()
		r.await("the start", func() bool { return f.claims.Load() > 0 })
		watch(t, f)
	})
}

// A bounce that the routes refuse is given up with its mail; one that could not be stored is not.
func TestRefusedBounceIsFinal(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Permanent, 550, "no"))
	}}
	r := newRig(t, nil, ups{"a": a})
	r.submit = fmt.Errorf("%w: 550 no route", ErrRefused)
	r.put("a", "x@example.org")
	r.start()
	r.awaitState(envelope.Failed)
	if !strings.Contains(r.journal(), "no route") || strings.Contains(r.journal(), "msg=bounced") {
		t.Errorf("journal:\n%s", r.journal())
	}
}

// Mail that a wrong clock put off for years is found at the start.
func TestScheduleOfAWrongClock(t *testing.T) {
	a := &scripted{}
	r := newRig(t, nil, ups{"a": a})
	in := time.Now().Add(time.Hour)
	r.putPart("s@example.com", "a", time.Now(), queue.Part{NextAt: in}, "z@example.org")
	r.putPart("s@example.com", "a", time.Now(), queue.Part{NextAt: time.Now().AddDate(1, 0, 0)}, "x@example.org")
	r.putPart("s@example.com", "a", time.Now().AddDate(1, 0, 0), queue.Part{NextAt: time.Now().Add(48 * time.Hour)}, "y@example.org")
	r.start()
	r.awaitSent(2)
	if p := r.parts(); len(p) != 1 || p[0].NextAt.Before(in.Add(-time.Second)) {
		t.Errorf("what waits by its schedule: %+v", p)
	}
}

func TestScheduleIsNotHurriedWithoutReason(t *testing.T) {
	a := &scripted{}
	r, f := faultyRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{40 * time.Hour} }, ups{"a": a})
	r.putPart("s@example.com", "a", time.Now(), queue.Part{NextAt: time.Now().Add(41 * time.Hour)}, "x@example.org")
	r.start()
	r.await("the start", func() bool { return f.lanes.Load() > 1 })
	if p := r.parts(); time.Until(p[0].NextAt) < 40*time.Hour {
		t.Errorf("due at %v", p[0].NextAt)
	}
}

// Mail of an upstream that stays closed expires about in time, and its bounce with it.
func TestMailOfAClosedUpstreamExpires(t *testing.T) {
	t.Parallel()
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, upstream.Outcome{Err: &upstream.Error{Class: upstream.Account, RetryAfter: time.Hour, Err: errors.New("wrong key")}})
	}}
	r := newRig(t, func(c *Config) { c.Policy.MaxAge = 2 * time.Second; c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.put("a", "first@example.org")
	r.start()
	r.await("the closing", func() bool { return r.status("a").State == "closed" })
	r.put("a", "x@example.org")
	r.putFrom("", "a", time.Now(), "s@example.com") // as a bounce is
	r.await("three failures", func() bool {         // the first is what the gate was tried with once more
		n := 0
		for _, p := range r.parts() {
			if p.State == envelope.Failed {
				n++
			}
		}
		return n == 3
	})
	if b := r.bounced(); len(b) != 2 || !strings.Contains(b[0]+b[1], "x@example.org") {
		t.Errorf("bounces %q", b)
	}
}

// Two generations of delivery never offer the same part twice.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	const mails = 400
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		time.Sleep(5 * time.Millisecond)
		return all(m, upstream.Outcome{})
	}}
	r := newRig(t, nil, ups{"a": a})
	for n := range mails {
		r.put("a", fmt.Sprintf("x%d@example.org", n))
	}
	r.start()
	for reloads := 0; a.count() < mails && reloads < 40; reloads++ { // a slow machine must get on
		r.d.Reload(config(ups{"a": a}, nil))
		time.Sleep(10 * time.Millisecond)
	}
	r.awaitSent(mails)
	got := a.offered()
	if all := len(got); all != len(slices.Compact(got)) {
		t.Errorf("%d offers for %d mails", all, mails)
	}
}

func TestSuccessIsToldWhereTheProviderDoesNot(t *testing.T) {
	for _, c := range []struct {
		name     string
		notifies bool
		to       string
		told     int
	}{
		{"asked, an API", false, "x@example.org SUCCESS FAILURE", 1},
		{"asked, a relay that answers itself", true, "x@example.org SUCCESS", 0},
		{"not asked", false, "x@example.org", 0},
		{"asked for other things", false, "x@example.org FAILURE", 0},
		{"asked for nothing", false, "x@example.org NEVER", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
				return all(m, upstream.Outcome{ID: "1", Notifies: c.notifies})
			}}
			r := newRig(t, nil, ups{"a": a})
			r.put("a", c.to, "quiet@example.org")
			r.start()
			r.awaitSent(2)
			b := r.bounced()
			if len(b) != c.told {
				t.Fatalf("told %q", b)
			}
			if c.told > 0 && (!strings.Contains(b[0], "Action: relayed") || strings.Contains(b[0], "Final-Recipient: rfc822; quiet@")) {
				t.Errorf("told %q", b)
			}
		})
	}
}

// TestSuccessIsToldOnce: an upstream that makes a call for each recipient gives each its own id, and the sender still
// gets one note about them all.
func TestSuccessIsToldOnce(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		out := make([]upstream.Outcome, len(m.To))
		for i := range out {
			out[i].ID = fmt.Sprint(i)
		}
		return out
	}}
	r := newRig(t, nil, ups{"a": a})
	const many = 1000
	to := make([]string, many)
	for i := range to {
		to[i] = fmt.Sprintf("x%d@example.org SUCCESS", i)
	}
	r.put("a", to...)
	r.start()
	r.awaitSent(many)
	if b := r.bounced(); len(b) != 1 || strings.Count(b[0], "Action: relayed") != many {
		t.Errorf("%d notes", len(b))
	}
}

// Mail for an upstream that only another gateway has is left to it; once nobody serves it, it is routed anew.
func TestLaneOfAnotherGateway(t *testing.T) {
	a := &scripted{}
	r, f := faultyRig(t, nil, ups{"a": a})
	f.elsewhere.Store(true)
	other := r.put("b", "b@example.org")
	r.start()
	r.put("a", "x@example.org")
	r.awaitSent(1)
	if p := r.parts(); len(p) != 1 || p[0].Lane != "b" || p[0].Progress.Attempts != 0 {
		t.Fatalf("%s: %+v", other, p)
	}
	f.elsewhere.Store(false)
	r.put("a", "y@example.org")
	r.awaitSent(3)
}

// A lease that was lost on the way to its worker, however short that was, is not used: another gateway may have sent the mail.
func TestLostLeasesAreNotUsed(t *testing.T) {
	a := &scripted{}
	r, f := faultyRig(t, nil, ups{"a": a})
	var asked atomic.Int64
	f.extend = func() error { asked.Add(1); return queue.ErrFenced }
	r.put("a", "x@example.org")
	r.start()
	r.await("the question", func() bool { return asked.Load() > 0 })
	r.stop()
	if a.count() != 0 || strings.Contains(r.journal(), "where=queue") {
		t.Errorf("%d offers\n%s", a.count(), r.journal())
	}
}

// While the store cannot be asked whether a lease is still good, the mail waits, and is sent once then.
func TestLeasesOfAStoreThatIsAway(t *testing.T) {
	a := &scripted{}
	r, f := faultyRig(t, nil, ups{"a": a})
	var asked atomic.Int64
	f.extend = func() error {
		if asked.Add(1) < 6 {
			return errors.New("connection refused")
		}
		return nil
	}
	r.put("a", "x@example.org")
	r.start()
	r.awaitSent(1)
	if a.count() != 1 || asked.Load() < 6 {
		t.Errorf("%d offers after %d questions", a.count(), asked.Load())
	}
}

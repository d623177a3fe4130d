package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/deliver"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest/fleettest"
	"mailhatch/upstream"
)

const lease = time.Minute

// TestAlone: one gateway does some work for all, and another takes it over once it has rested for long.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.gateway("a", deliver.Upstream{Name: "main"}), w.gateway("b", deliver.Upstream{Name: "main"})
		for range 3 {
			if !a.Alone(t.Context(), "poll main", time.Minute) || b.Alone(t.Context(), "poll main", time.Minute) || !b.Alone(t.Context(), "poll other", time.Minute) {
				t.Fatal("both, or none")
			}
			time.Sleep(40 * time.Second)
		}
		time.Sleep(time.Minute)
		if !b.Alone(t.Context(), "poll main", time.Minute) || a.Alone(t.Context(), "poll main", time.Minute) {
			t.Error("nobody took it over")
		}
	})
}

// town is a store and the gateways on it.
type town struct {
	t     *testing.T
	store *fleettest.Memory
}

func newTown(t *testing.T) *town { return &town{t, fleettest.NewMemory(lease)} }

// gateway is one with a gate for the upstream "main".
type gateway struct {
	*Fleet
	gate   *gate.Gate
	limits gate.Limits

	mu      sync.Mutex
	follows int
	errs    []error
}

func (g *gateway) reported() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.errs)
}

func (w *town) gateway(name string, u deliver.Upstream) *gateway {
	g := &gateway{}
	g.Fleet = New(Config{Store: w.store.Gateway(name), Name: name, Lease: lease,
		About: func() queue.Gateway { return queue.Gateway{Version: "1.0", Lanes: []string{"main"}} },
		Gates: func() []*gate.Gate { return []*gate.Gate{g.gate} },
		Follow: func(context.Context) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.follows++
		},
		Report: func(err error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.errs = append(g.errs, err)
		}})
	if u.MaxConcurrent == 0 {
		u.MaxConcurrent = 16
	}
	u.Name = "main"
	g.limits = g.Limits(&u)
	g.gate = gate.New(gate.Settings{Name: "main", MaxConcurrent: u.MaxConcurrent, Retry: []time.Duration{time.Minute}, MaxAge: time.Hour, Peers: g, Limits: g.limits},
		journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = g.Run(ctx) }()
	w.t.Cleanup(func() { stop(); <-ended })
	synctest.Wait() // it has asked for the first time
	return g
}

var refused = &upstream.Error{Class: upstream.Account, Status: 401, Err: errors.New("bad key")}

// soon is within what all gateways know what one does.
const soon = 2*time.Second + 100*time.Millisecond

func TestClosedForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.gateway("a", deliver.Upstream{}), w.gateway("b", deliver.Upstream{})
		a.gate.Learn("1", refused)
		time.Sleep(soon)
		s := b.gate.Status()
		if s.State != "closed" || s.Reason != "account" || s.LastError == "" || !s.NextProbe.After(time.Now()) {
			t.Fatalf("b: %+v", s)
		}
		c := w.gateway("c", deliver.Upstream{}) // one that starts meanwhile
		if c.gate.State() != gate.Closed {
			t.Error("c has not heard of it")
		}

		time.Sleep(time.Minute)
		probers := 0
		for _, g := range []*gateway{a, b, c} {
			if !g.gate.ProbeDue() {
				t.Error("a probe is due everywhere")
			}
			if g.gate.MayProbe(t.Context()) {
				probers++
				g.gate.TryProbe()
				defer g.gate.Learn("2", nil)
			}
		}
		if probers != 1 {
			t.Fatalf("%d gateways probe", probers)
		}
		time.Sleep(soon)
		for name, g := range map[string]*gateway{"b": b, "c": c} {
			if g.gate.ProbeDue() || g.gate.State() != gate.Closed || g.gate.SweepDue() {
				t.Errorf("%s takes mail from who probes", name)
			}
			if !g.gate.Usable() || g.gate.Usable() {
				t.Errorf("%s does not route one mail to who probes", name)
			}
		}
	})
}

func TestOpenedForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.gateway("a", deliver.Upstream{}), w.gateway("b", deliver.Upstream{})
		a.gate.Learn("1", refused)
		time.Sleep(soon + time.Minute)
		if !b.gate.MayProbe(t.Context()) {
			t.Fatal("b may not probe")
		}
		b.gate.TryProbe()
		time.Sleep(soon)
		b.gate.Learn("2", nil)
		time.Sleep(soon)
		if a.gate.State() != gate.Open {
			t.Error(a.gate.Status())
		}
		b.gate.Quiet([]upstream.Outcome{{Pause: 8 * time.Second}})
		time.Sleep(soon)
		if s := a.gate.Status(); !s.NextProbe.After(time.Now()) || s.State != "open" {
			t.Errorf("what the provider asked b for does not hold for a: %+v", s)
		}
	})
}

// TestProberDies: another gateway goes on where one that probes gives no sign any more.
func TestProberDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.gateway("a", deliver.Upstream{}), w.gateway("b", deliver.Upstream{})
		a.gate.Learn("1", refused)
		time.Sleep(soon + time.Minute)
		if !a.gate.MayProbe(t.Context()) || b.gate.MayProbe(t.Context()) {
			t.Fatal("both probe, or none")
		}
		time.Sleep(gate.ProbeTime() + soon)
		if !b.gate.ProbeDue() || !b.gate.MayProbe(t.Context()) {
			t.Error("nobody probes any more")
		}
	})
}

// TestPausesAreFollowed: at once where the store says that there is something to hear, and once a second in any case.
func TestPausesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.gateway("a", deliver.Upstream{})
		follows := func() int {
			synctest.Wait()
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.follows
		}
		n := follows()
		w.store.Say()
		if got := follows(); got != n+1 {
			t.Errorf("followed %d times, want %d", got, n+1)
		}
		time.Sleep(soon)
		if got := follows(); got < n+3 {
			t.Errorf("followed %d times within %v", got-n-1, soon)
		}
	})
}

func TestQuotaIsEachOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.gateway("a", deliver.Upstream{})
		a.gate.Counted([]queue.Window{}, []int{})
		time.Sleep(soon)
		if notes, err := w.store.Gateway("x").Notes(t.Context(), ""); err != nil || len(notes) != 0 {
			t.Error(notes, err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.follows == 0 {
			t.Error("pauses are not followed")
		}
	})
}

// TestStoreAway: what was found out meanwhile is told once it is back, and it is reported once.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.gateway("a", deliver.Upstream{Together: 4, Rate: 1}), w.gateway("b", deliver.Upstream{})
		away := errors.New("away")
		w.store.Break(away)
		a.gate.Learn("1", refused)
		calls := w.store.Calls()
		time.Sleep(time.Minute)
		if n := w.store.Calls() - calls; n > 200 {
			t.Errorf("%d calls in a minute", n)
		}
		if errs := a.reported(); len(errs) != 1 || !errors.Is(errs[0], away) {
			t.Errorf("reported: %v", errs)
		}
		if !errors.Is(a.Away(), away) {
			t.Error("it does not say that the store is away")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := a.limits.Wait(ctx); err == nil {
			t.Error("a turn that nobody has given")
		}
		if a.gate.MayProbe(ctx) {
			t.Error("a probe that nobody has allowed")
		}
		if n := a.limits.Tokens(ctx, 1); n != 0 {
			t.Error("a place that nobody has given")
		}
		w.store.Break(nil)
		time.Sleep(2 * soon)
		if b.gate.State() != gate.Closed || a.Away() != nil {
			t.Error("b was not told")
		}
	})
}

// TestRateOfAll: gateways that offer all they can keep to one rate.
func TestRateOfAll(t *testing.T) {
	for _, rate := range []float64{0.5, 2, 100} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			var mu sync.Mutex
			offers := 0
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			var wait sync.WaitGroup
			calls := 0
			for _, name := range []string{"a", "b", "c"} {
				g := w.gateway(name, deliver.Upstream{Rate: rate})
				wait.Go(func() {
					for ctx.Err() == nil {
						n := g.limits.Tokens(ctx, 16)
						g.limits.Spend(ctx, n)
						if ctx.Err() == nil {
							mu.Lock()
							offers += n
							mu.Unlock()
						}
					}
				})
			}
			wait.Wait()
			calls = w.store.Calls()
			want := rate * 40
			if float64(offers) > want*1.05+2*rate+3 || float64(offers) < want*0.9-3 {
				t.Errorf("%v/s: %d offers in 40 s", rate, offers)
			}
			if rate == 100 && calls > offers/5 {
				t.Errorf("%d calls for %d offers", calls, offers)
			}
		})
	}
}

// TestRatePerDomainOfAll: gateways that offer all they can keep to one rate for each domain of recipients.
func TestRatePerDomainOfAll(t *testing.T) {
	for _, rate := range []float64{0.2, 1, 40} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			const time40 = 40 * time.Second
			calls, offers := w.store.Calls(), 0
			longest := time.Duration(0)
			for _, name := range []string{"a", "b", "c"} {
				g := w.gateway(name, deliver.Upstream{RatePerDomain: rate})
				for range int(rate*time40.Seconds()) / 3 { // a backlog, each of which waits for its turn
					wait, err := g.limits.DomainTurn(t.Context(), "x.org")
					if err != nil {
						t.Fatal(err)
					}
					longest = max(longest, wait)
					offers++
				}
				if wait, err := g.limits.DomainTurn(t.Context(), name+".org"); wait != 0 || err != nil {
					t.Errorf("another domain waits %v, %v", wait, err)
				}
			}
			least := time.Duration(float64(offers-1)/rate*float64(time.Second)) - time.Second
			if longest < least-turnsTime || longest > time40+turnsTime {
				t.Errorf("%v/s: the last of %d waits %v", rate, offers, longest)
			}
			if n := w.store.Calls() - calls; rate == 40 && n > offers/5 {
				t.Errorf("%d calls for %d offers", n, offers)
			}
			g := w.gateway("d", deliver.Upstream{RatePerDomain: rate})
			w.store.Break(errors.New("away"))
			if _, err := g.limits.DomainTurn(t.Context(), "x.org"); err == nil {
				t.Error("a turn that nobody has given")
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		g := w.gateway("a", deliver.Upstream{})
		if wait, err := g.limits.DomainTurn(t.Context(), "x.org"); wait != 0 || err != nil {
			t.Error("there is no limit:", wait, err)
		}
		g.limits = g.Limits(&deliver.Upstream{Name: "main", MaxConcurrent: 1, RatePerDomain: 8})
		for i := range 2 * domainEntries {
			if _, err := g.limits.DomainTurn(t.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			if i%100 == 0 {
				time.Sleep(time.Second)
			}
		}
		if n := len(g.limits.(*limits).domains.left); n > domainEntries {
			t.Errorf("turns of %d domains are kept", n)
		}
	})
}

// TestPlacesOfAll: together they make no more offers at once than is allowed, and all of those.
func TestPlacesOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		const together = 5
		var mu sync.Mutex
		under, most, done := 0, 0, map[string]int{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wait sync.WaitGroup
		for _, name := range []string{"a", "b", "c"} {
			g := w.gateway(name, deliver.Upstream{Together: together, MaxConcurrent: 4})
			for range 6 {
				wait.Go(func() {
					for g.gate.Begin(ctx) == nil {
						mu.Lock()
						under++
						most = max(most, under)
						done[name]++
						mu.Unlock()
						time.Sleep(300 * time.Millisecond)
						mu.Lock()
						under--
						mu.Unlock()
						g.gate.End()
					}
				})
			}
		}
		wait.Wait()
		if most != together {
			t.Errorf("%d at once, want %d", most, together)
		}
		for _, name := range []string{"a", "b", "c"} {
			if done[name] < 50 {
				t.Errorf("%s made %d offers of %v", name, done[name], done)
			}
		}
	})
}

func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.gateway("a", deliver.Upstream{}), w.gateway("b", deliver.Upstream{})
		na, nb := a.Notices("bounces", 3, time.Hour), b.Notices("bounces", 3, time.Hour)
		for range 3 {
			if !nb.Until("ann@example.com").IsZero() {
				t.Error("there is room")
			}
			na.Count("ann@example.com")
		}
		if nb.Until("ann@example.com").IsZero() || !nb.Until("bob@example.com").IsZero() || !b.Notices("delays", 3, time.Hour).Until("ann@example.com").IsZero() {
			t.Error("what a has sent does not count for b, or counts for others")
		}
		time.Sleep(time.Hour)
		if !nb.Until("ann@example.com").IsZero() {
			t.Error("the hour is over")
		}
		w.store.Break(errors.New("away"))
		if !nb.Until("ann@example.com").IsZero() || len(b.reported()) == 0 {
			t.Error("the store is away")
		}
	})
}

func TestGatewaysAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.gateway("a", deliver.Upstream{})
		ctx, stop := context.WithCancel(t.Context())
		b := New(a.cfg)
		b.cfg.Store, b.cfg.Name = w.store.Gateway("b"), "b"
		ended := make(chan struct{})
		go func() { defer close(ended); _ = b.Run(ctx) }()
		time.Sleep(soon)
		if list, err := a.Gateways(t.Context()); err != nil || len(list) != 2 || !list[1].Alive {
			t.Errorf("%+v, %v", list, err)
		}
		stop()
		<-ended
		if list, err := a.Gateways(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

package gate

import (
	"context"
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

func newDomainGate(rate float64) *Gate {
	return New(Settings{Name: "a", MaxConcurrent: 4, Retry: []time.Duration{time.Minute}, MaxAge: time.Hour, RatePerDomain: rate},
		journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()))
}

func TestDomainWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDomainGate(12.0 / 60)
		wait := func(domain, offer string, want time.Duration) {
			t.Helper()
			if got := g.DomainWait(domain, offer); got != want {
				t.Errorf("%s %s waits %v, want %v", domain, offer, got, want)
			}
		}
		wait("x.org", "1", 0)
		wait("x.org", "2", 5*time.Second)
		wait("x.org", "3", 10*time.Second)
		wait("x.org", "2", 5*time.Second) // it keeps its turn
		wait("y.org", "2", 0)             // other domains have their own
		time.Sleep(4 * time.Second)
		wait("x.org", "3", 6*time.Second) // released early
		time.Sleep(time.Second)
		wait("x.org", "2", 0)
		wait("x.org", "2", 10*time.Second) // that turn is used up
		time.Sleep(5 * time.Second)
		wait("x.org", "3", 0)
		time.Sleep(time.Minute)
		wait("x.org", "4", 0)
		wait("x.org", "5", 5*time.Second)
	})
}

// TestDomainRateAllowsABurst: as much as comes in a second goes at once.
func TestDomainRateAllowsABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDomainGate(4)
		for i := range 4 {
			if wait := g.DomainWait("x.org", fmt.Sprint(i)); wait != 0 {
				t.Errorf("offer %d waits %v", i, wait)
			}
		}
		if wait := g.DomainWait("x.org", "4"); wait != time.Second/4 {
			t.Errorf("the fifth waits %v", wait)
		}
		if g := newDomainGate(0); g.DomainWait("x.org", "1")+g.DomainWait("x.org", "2") != 0 {
			t.Error("there is no limit")
		}
	})
}

// TestDomainsAreForgotten: what is over takes no memory, and what waits keeps its turn.
func TestDomainsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDomainGate(1)
		for i := range 2 * domainEntries {
			g.DomainWait(fmt.Sprint(i, ".org"), "1")
		}
		for i := range 600 {
			g.DomainWait("x.org", fmt.Sprint(i))
		}
		time.Sleep(turnKept + 599*time.Second)
		g.DomainWait("x.org", "599") // its turn came an hour ago and it gets a new one
		for i := range 2 * domainEntries {
			g.DomainWait(fmt.Sprint(i, ".net"), "1")
		}
		if n := len(g.domains.next); n > 2*domainEntries+1 {
			t.Errorf("%d domains", n)
		}
		if n := len(g.domains.turns); n > 1 {
			t.Errorf("%d turns", n)
		}
	})
}

func TestAwaitDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDomainGate(12.0 / 60)
		domains := []string{"x.org", "y.org"}
		g.DomainWait("y.org", "0")
		start := time.Now()
		if err := g.AwaitDomains(t.Context(), domains, "1"); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start = time.Now()
		var e *upstream.Error
		if err := g.AwaitDomains(ctx, domains, "2"); !errors.As(err, &e) || e.Class != upstream.Throttled || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := g.AwaitDomains(ctx, domains, "3"); !errors.Is(err, ErrDomainRate) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

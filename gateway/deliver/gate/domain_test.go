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

func (g *Gate) wantTurn(t *testing.T, domain string, want time.Duration) {
	t.Helper()
	if got, ok := g.DomainTurn(t.Context(), domain); got != want || !ok {
		t.Errorf("%s waits %v, want %v", domain, got, want)
	}
}

func TestDomainTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDomainGate(12.0 / 60)
		g.wantTurn(t, "x.org", 0)
		g.wantTurn(t, "x.org", 5*time.Second)
		g.wantTurn(t, "x.org", 10*time.Second)
		g.wantTurn(t, "y.org", 0) // other domains have their own
		time.Sleep(4 * time.Second)
		g.wantTurn(t, "x.org", 11*time.Second)
		time.Sleep(time.Minute)
		g.wantTurn(t, "x.org", 0)
		g.wantTurn(t, "x.org", 5*time.Second)
	})
}

// TestDomainRateAllowsABurst: as much as comes in a second goes at once.
func TestDomainRateAllowsABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDomainGate(4)
		for range 4 {
			g.wantTurn(t, "x.org", 0)
		}
		g.wantTurn(t, "x.org", time.Second/4)
		g = newDomainGate(0)
		for range 2 {
			g.wantTurn(t, "x.org", 0)
		}
		if wait, err := g.limits.DomainTurn(t.Context(), "x.org"); wait != 0 || err != nil {
			t.Error("there is no limit")
		}
	})
}

// TestDomainsAreForgotten: what is over takes no memory, and what waits keeps its place.
func TestDomainsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDomainGate(1)
		for i := range 2 * domainEntries {
			g.wantTurn(t, fmt.Sprint(i, ".org"), 0)
		}
		for i := range 10 {
			g.wantTurn(t, "x.org", time.Duration(i)*time.Second)
		}
		time.Sleep(8 * time.Second)
		for i := range 4 * domainEntries {
			g.wantTurn(t, fmt.Sprint(i, ".net"), 0)
		}
		g.wantTurn(t, "x.org", 2*time.Second)
		if n := len(g.limits.(*ownLimits).domains.next); n > 4*domainEntries+1 {
			t.Errorf("%d domains", n)
		}
	})
}

// broken are limits that cannot be asked.
type broken struct{ Limits }

func (broken) DomainTurn(context.Context, string) (time.Duration, error) {
	return 0, errors.New("away")
}

func TestAwaitDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDomainGate(12.0 / 60)
		domains := []string{"x.org", "y.org"}
		g.wantTurn(t, "y.org", 0)
		start := time.Now()
		if err := g.AwaitDomains(t.Context(), domains); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start = time.Now()
		var e *upstream.Error
		if err := g.AwaitDomains(ctx, domains); !errors.As(err, &e) || e.Class != upstream.Throttled || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := g.AwaitDomains(ctx, domains); !errors.Is(err, ErrDomainRate) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := g.AwaitDomains(t.Context(), []string{"z.org"}); err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		g.limits = broken{}
		if err := g.AwaitDomains(t.Context(), domains); !errors.Is(err, ErrDomainRate) {
			t.Errorf("nobody knows whose turn it is: %v", err)
		}
		if wait, ok := g.DomainTurn(t.Context(), "z.org"); wait <= 0 || ok {
			t.Errorf("nobody knows whose turn it is: %v, %v", wait, ok)
		}
	})
}

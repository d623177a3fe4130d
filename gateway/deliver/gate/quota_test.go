package gate

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/quota"
	"mailhatch/upstream"
)

// quotaGate has a quota of two in an hour and three in a day; count tells it what was taken in them.
func quotaGate(t *testing.T, now func() time.Time) (g *Gate, count func(hour, day int) bool) {
	t.Helper()
	g = New(Settings{Name: "a", MaxConcurrent: 1, Retry: []time.Duration{time.Minute}, MaxAge: time.Hour, Alternatives: true, Now: now,
		Quota: []quota.Limit{{Count: 2, Per: "h"}, {Count: 3, Per: "d"}}}, journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()))
	return g, func(hour, day int) bool {
		_, windows := g.Windows()
		return g.Counted(windows, []int{hour, day})
	}
}

// TestQuotaClosesUntilTheWindowEnds: by the longest of the windows that are used up, and without a probe.
func TestQuotaClosesUntilTheWindowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight UTC
		g, count := quotaGate(t, nil)
		want := func(what string, s State, r Reason, hour, day int) {
			t.Helper()
			got := g.Status()
			if got.State != s.String() || got.Reason != r.String() || got.Quota[0].Left != hour || got.Quota[1].Left != day {
				t.Errorf("%s: %+v", what, got)
			}
		}
		time.Sleep(20 * time.Minute)
		want("nothing was counted", Open, None, 2, 3)
		count(1, 1)
		want("one", Open, None, 1, 2)
		count(2, 2)
		want("the hour is used up", Closed, Quota, 0, 1)
		if err := g.QuotaError(); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "its quota of 2/h is used up until 2000-01-01T01:00:00Z") {
			t.Error(err)
		}
		if g.Usable() || g.ProbeDue() || !g.TriedWithin(0) || time.Until(g.QuotaEnd()) != 40*time.Minute {
			t.Errorf("usable %v, probe %v, until %v", g.Usable(), g.ProbeDue(), g.QuotaEnd())
		}
		g.ProbeSoon() // an attempt would show nothing
		g.Learn("1", errors.New("what was under way ended"))
		g.Learn("2", nil)
		want("answers from before change nothing", Closed, Quota, 0, 1)
		if !count(1, 1) {
			t.Error("one came back and it did not open")
		}
		want("one came back", Open, None, 1, 2)
		count(2, 3)
		want("both are used up", Closed, Quota, 0, 0)
		time.Sleep(40 * time.Minute)
		if !g.ProbeDue() {
			t.Error("the hour is over and nobody looks")
		}
		count(0, 3)
		want("the day is not over", Closed, Quota, 2, 0)
		time.Sleep(23 * time.Hour)
		if !g.ProbeDue() {
			t.Error("the day is over and nobody looks")
		}
		want("before anybody looks", Closed, Quota, 2, 3)
		count(0, 0)
		want("the day is over", Open, None, 2, 3)
	})
}

// TestQuotaBesideOtherReasons: a gate that is closed for another reason stays so.
func TestQuotaBesideOtherReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, count := quotaGate(t, nil)
		g.Learn("1", &upstream.Error{Class: upstream.Account, Err: errors.New("wrong key")})
		count(2, 2)
		if g.Reason() != Account || !g.QuotaEnd().IsZero() {
			t.Errorf("closed for %s", g.Reason())
		}
		count(1, 1)
		if g.State() != Closed {
			t.Error("it opened for another reason than it was closed for")
		}
		g.TryProbe()
		count(2, 2)
		if g.Reason() != Quota || g.State() != Closed {
			t.Errorf("%s for %s", g.State(), g.Reason())
		}
	})
}

// TestQuotaFollowsTheClock: windows that the clock has left, forward or back, are looked at anew.
func TestQuotaFollowsTheClock(t *testing.T) {
	for _, step := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		now := time.Date(2026, time.March, 1, 12, 30, 0, 0, time.UTC)
		g, count := quotaGate(t, func() time.Time { return now })
		count(2, 2)
		if g.ProbeDue() {
			t.Errorf("%v: due at once", step)
		}
		now = now.Add(step)
		if !g.ProbeDue() {
			t.Errorf("%v: the window is another one and nobody looks", step)
		}
	}
}

// TestQuotaErrorOfAnOpenGate: there was no room a moment ago.
func TestQuotaErrorOfAnOpenGate(t *testing.T) {
	g, _ := quotaGate(t, nil)
	var e *upstream.Error
	if err := g.QuotaError(); !errors.As(err, &e) || e.Class != upstream.Throttled || !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

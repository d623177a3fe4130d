package gate

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/quota"
	"mailhatch/upstream"
)

// TestPause: a paused gate is closed for everything, and what it was stands after the pause.
func TestPause(t *testing.T) {
	wrongKey := &upstream.Error{Class: upstream.Account, RetryAfter: time.Minute, Err: errors.New("wrong key")}
	for _, row := range []struct {
		name   string
		before func(*Gate)
		during func(*Gate)
		after  State
		reason Reason
	}{
		{"open", func(*Gate) {}, func(*Gate) {}, Open, None},
		{"an offer from before succeeds", func(*Gate) {}, func(g *Gate) { g.Learn("1", nil) }, Open, None},
		{"closed", func(g *Gate) { g.Learn("1", wrongKey) }, func(*Gate) {}, Closed, Account},
		{"probed", func(g *Gate) { g.Learn("1", wrongKey); g.TryProbe() }, func(*Gate) {}, Probing, Account},
		{"the probe from before succeeds", func(g *Gate) { g.Learn("1", wrongKey); g.TryProbe() }, func(g *Gate) { g.Learn("1", nil) }, Open, None},
		{"an offer from before is refused", func(*Gate) {}, func(g *Gate) { g.Learn("1", wrongKey) }, Closed, Account},
		{"its quota is used up", func(g *Gate) { g.Counted(hour(), []int{1}) }, func(*Gate) {}, Closed, Quota},
		{"its quota has room again", func(g *Gate) { g.Counted(hour(), []int{1}) }, func(g *Gate) { g.Counted(hour(), []int{0}) }, Open, None},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := New(Settings{Name: "a", MaxConcurrent: 1, Retry: []time.Duration{time.Minute}, MaxAge: time.Hour,
					Quota: []quota.Limit{{Count: 1, Per: "h"}}}, journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()))
				row.before(g)
				g.Pause(Pause{By: "root", At: time.Now()})
				row.during(g)
				for _, later := range []time.Duration{0, 24 * time.Hour} {
					time.Sleep(later)
					g.ProbeSoon()
					s := g.Status()
					if g.State() != Closed || g.Reason() != Paused || g.Usable() || g.ProbeDue() || g.TriedWithin(48*time.Hour) || !g.QuotaEnd().IsZero() ||
						s.State != "closed" || s.Reason != "paused" || s.Pause.By != "root" || !s.NextProbe.IsZero() {
						t.Errorf("after %v: %+v", later, s)
					}
					if err := g.Admit(t.Context()); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "an operator has paused it") {
						t.Error(err)
					}
					if !g.SweepDue() && later > 0 {
						t.Error("waiting mail is never looked at")
					}
				}
				g.Resume("ann")
				if s := g.Status(); g.State() != row.after || g.Reason() != row.reason || s.Pause != nil {
					t.Errorf("after the pause: %+v", s)
				}
			})
		})
	}
}

func hour() []queue.Window {
	from := time.Now().Truncate(time.Hour)
	return []queue.Window{{From: from, Until: from.Add(time.Hour), Count: 1}}
}

// TestPauseIsOnRecord: the journal has who paused and resumed; an end of a pause that does not open the gate is told as one.
func TestPauseIsOnRecord(t *testing.T) {
	var log bytes.Buffer
	j := journal.New(slog.New(slog.NewTextHandler(&log, nil)), meter.NewRegistry())
	var heard []string
	j.Listen(func(e journal.Event) { heard = append(heard, e.Name) })
	g := New(Settings{Name: "a", MaxConcurrent: 1, Retry: []time.Duration{time.Minute}, MaxAge: time.Hour, Alternatives: true}, j)
	g.Resume("nobody") // there is no pause
	g.Pause(Pause{By: "root", At: time.Now()})
	g.Resume("uid 1000")
	g.Pause(Pause{By: "root", At: time.Now()})
	g.Learn("1", &upstream.Error{Class: upstream.Account, Err: errors.New("wrong key")})
	g.Resume("root")
	want := "upstream_paused upstream_resumed upstream_opened upstream_paused upstream_closed upstream_resumed"
	if got := strings.Join(heard, " "); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	for _, line := range []string{"msg=upstream_paused upstream=a by=root", `msg=upstream_resumed upstream=a by="uid 1000"`} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("no line %s in\n%s", line, log.String())
		}
	}
}

// board is one that a store would keep.
type board struct {
	paused map[string]queue.Pause
	err    error
}

func (b *board) Pause(_ context.Context, upstream, by string) error {
	if b.err == nil {
		b.paused[upstream] = queue.Pause{At: time.Now(), By: by}
	}
	return b.err
}

func (b *board) Resume(_ context.Context, upstream string) error {
	if b.err == nil {
		delete(b.paused, upstream)
	}
	return b.err
}

func (b *board) Paused(context.Context) (map[string]queue.Pause, error) { return b.paused, b.err }

// TestPauses: gates follow the board, whoever wrote there; gates that come later have the pause from their beginning.
func TestPauses(t *testing.T) {
	j := journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry())
	var heard []string
	j.Listen(func(e journal.Event) { heard = append(heard, e.Name) })
	gateOf := func(name string, p *Pause) *Gate {
		return New(Settings{Name: name, MaxConcurrent: 1, Retry: []time.Duration{time.Minute}, MaxAge: time.Hour, Pause: p}, j)
	}
	a, b := gateOf("a", nil), gateOf("b", nil)
	on := &board{paused: map[string]queue.Pause{"b": {By: "ann"}, "gone": {By: "ann"}}}
	ps := &Pauses{Board: on}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	want := func(what string, states ...State) {
		t.Helper()
		if got := []State{a.State(), b.State()}; !slices.Equal(got, states) {
			t.Errorf("%s: a and b are %v, want %v", what, got, states)
		}
	}
	gates := []*Gate{a, b}
	must(ps.Follow(t.Context(), gates))
	want("as the board is", Open, Closed)
	must(ps.Pause(t.Context(), "a", "root", gates))
	must(ps.Follow(t.Context(), gates))
	want("a is paused", Closed, Closed)
	delete(on.paused, "b") // by another gateway
	must(ps.Follow(t.Context(), gates))
	must(ps.Resume(t.Context(), "gone", "root", gates))
	want("b is resumed", Closed, Open)
	heard = nil
	if next := gateOf("a", ps.Of("a")); next.State() != Closed || next.Status().Pause.By != "root" || heard != nil {
		t.Errorf("a new gate: %+v, heard %v", next.Status(), heard)
	}
	if p := ps.Of("b"); p != nil {
		t.Errorf("b: %+v", p)
	}
	must(ps.Resume(t.Context(), "a", "root", gates))
	want("all are resumed", Open, Open)
	on.err = errors.New("EIO")
	if ps.Follow(t.Context(), gates) == nil || ps.Pause(t.Context(), "a", "root", gates) == nil || ps.Resume(t.Context(), "a", "root", gates) == nil {
		t.Error("an error of the board is lost")
	}
	want("after an error", Open, Open)
	must((&Pauses{}).Follow(t.Context(), gates))
}

package clock

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	const day = 24 * time.Hour
	type event struct {
		after time.Duration // since the event before
		shift time.Duration // of the wall clock from then on
		date  time.Duration // of a provider, beside the true time; 1: none
		ahead time.Duration // of what is believed, beside the true time
	}
	const none = 1
	for _, c := range []struct {
		name   string
		events []event
	}{
		{"it runs", []event{{time.Second, 0, none, 0}, {10 * day, 0, none, 0}}},
		{"it drifts", []event{{time.Hour, 20 * time.Second, none, 20 * time.Second}, {time.Hour, 40 * time.Second, none, 40 * time.Second}}},
		{"ahead for half a minute", []event{{time.Second, 10 * day, none, 0}, {28 * time.Second, 10 * day, none, 0}, {0, 0, none, 0}, {2 * time.Hour, 0, none, 0}}},
		{"it stands", []event{{time.Second, -day, none, 0}, {59 * time.Minute, -day, none, 0}, {2 * time.Minute, -day, none, -day}}},
		{"each step stands for itself", []event{{0, day, none, 0}, {50 * time.Minute, 2 * day, none, 0}, {50 * time.Minute, 2 * day, none, 0}, {11 * time.Minute, 2 * day, none, 2 * day}}},
		{"a provider does not agree", []event{{0, day, none, 0}, {50 * time.Minute, day, 0, 0}, {50 * time.Minute, day, none, 0}, {11 * time.Minute, day, none, day}}},
		{"a provider agrees", []event{{0, day, none, 0}, {time.Second, day, day + time.Second, day}}},
		{"a provider who lives elsewhere", []event{{0, day, none, 0}, {time.Second, day, 9 * day, 0}}},
		{"a provider without a step", []event{{0, 0, day, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shift := time.Duration(0)
				clk := New(func() time.Time { return time.Now().Add(shift) }, slog.New(slog.DiscardHandler))
				for i, e := range c.events {
					time.Sleep(e.after)
					shift = e.shift
					clk.Now()
					if e.date != none {
						clk.Confirm(time.Now().Add(e.date))
					}
					if got := clk.Now().Sub(time.Now().Round(0)); got != e.ahead {
						t.Errorf("event %d: %v ahead, want %v", i, got, e.ahead)
					}
				}
			})
		})
	}
}

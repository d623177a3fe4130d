package top

import (
	"math"
	"strconv"
	"time"

	"mailhatch/gateway/meter"
)

// counts are what became of mail since the start of the gateway.
type counts struct{ accepted, sent, deferred, failed float64 }

func (c counts) minus(d counts) counts {
	return counts{c.accepted - d.accepted, c.sent - d.sent, c.deferred - d.deferred, c.failed - d.failed}
}

// tally is what the metrics of one look say.
type tally struct {
	at   time.Time
	all  counts
	by   map[string]counts              // upstream
	took map[string]map[float64]float64 // upstream: offers that took at most so many seconds
}

// newTally reads metrics.
func newTally(at time.Time, samples []meter.Sample) tally {
	t := tally{at: at, by: map[string]counts{}, took: map[string]map[float64]float64{}}
	of := map[string]func(*counts) *float64{
		"mailhatch_accepted_total": func(c *counts) *float64 { return &c.accepted },
		"mailhatch_sent_total":     func(c *counts) *float64 { return &c.sent },
		"mailhatch_deferred_total": func(c *counts) *float64 { return &c.deferred },
		"mailhatch_failed_total":   func(c *counts) *float64 { return &c.failed },
	}
	for _, s := range samples {
		upstream := s.Labels["upstream"]
		if count := of[s.Name]; count != nil {
			c := t.by[upstream]
			*count(&c) += s.Value
			*count(&t.all) += s.Value
			t.by[upstream] = c
		}
		if s.Name == "mailhatch_attempt_seconds_bucket" {
			if t.took[upstream] == nil {
				t.took[upstream] = map[float64]float64{}
			}
			if bound, err := strconv.ParseFloat(s.Labels["le"], 64); err == nil {
				t.took[upstream][bound] = s.Value
			}
		}
	}
	return t
}

// window is how far back rates look.
const window = time.Minute

// track is the tallies of the last minute, the oldest first.
type track []tally

// add notes a tally. Counters that went back are those of another process: what was before is of no use.
func (t track) add(now tally) track {
	if n := len(t); n > 0 && (now.all.accepted < t[n-1].all.accepted || now.all.sent < t[n-1].all.sent) {
		t = nil
	}
	t = append(t, now)
	for len(t) > 2 && now.at.Sub(t[1].at) >= window {
		t = t[1:]
	}
	return t
}

// known reports whether there are rates yet.
func (t track) known() bool { return len(t) > 1 && t[len(t)-1].at.After(t[0].at) }

// perMinute returns the rates of all mail; upstream: of its own.
func (t track) perMinute(of func(*tally) counts) counts {
	if !t.known() {
		return counts{}
	}
	first, last := &t[0], &t[len(t)-1]
	d, scale := of(last).minus(of(first)), float64(time.Minute)/float64(last.at.Sub(first.at))
	return counts{d.accepted * scale, d.sent * scale, d.deferred * scale, d.failed * scale}
}

// quantile returns in how many seconds that share of the offers to an upstream was answered, as its histogram has it; 0:
// there were none.
func (t track) quantile(upstream string, share float64) float64 {
	if !t.known() {
		return 0
	}
	before, now := t[0].took[upstream], t[len(t)-1].took[upstream]
	all := now[math.Inf(1)] - before[math.Inf(1)]
	if all <= 0 {
		return 0
	}
	found := math.Inf(1)
	for bound, n := range now {
		if n-before[bound] >= share*all && bound < found {
			found = bound
		}
	}
	return found
}

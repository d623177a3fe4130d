package soak

import (
	"strings"
	"testing"
	"time"

	"mailhatch/cmd/mailbench/load"
)

// TestSoakTally: what is called lost or doubled.
func TestSoakTally(t *testing.T) {
	for _, c := range []struct {
		name  string
		entry entry
		want  tally
	}{
		{"nothing known", entry{}, tally{}},
		{"not acknowledged, arrived all the same", entry{way: byAPI, api: 1}, tally{}},
		{"arrived", entry{way: byAPI, acked: true, api: 1}, tally{acked: 1, recipients: 1}},
		{"lost", entry{way: byRelay, acked: true}, tally{acked: 1, recipients: 1, lost: 1}},
		{"one of two lost", entry{way: byBoth, acked: true, relay: 1}, tally{acked: 1, recipients: 2, lost: 1}},
		{"both lost", entry{way: byBoth, acked: true}, tally{acked: 1, recipients: 2, lost: 2}},
		{"either", entry{way: byEither, acked: true, api: 1}, tally{acked: 1, recipients: 1}},
		{"neither", entry{way: byEither, acked: true}, tally{acked: 1, recipients: 1, lost: 1}},
		{"doubled at the API", entry{way: byAPI, acked: true, api: 3}, tally{acked: 1, recipients: 1, apiDoubles: 2}},
		{"doubled after a lost reply", entry{way: byRelay, acked: true, relay: 2, unanswered: 1},
			tally{acked: 1, recipients: 1, doubles: 1, lostReplies: 1}},
		{"doubled for nothing", entry{way: byRelay, acked: true, relay: 3, unanswered: 1},
			tally{acked: 1, recipients: 1, doubles: 1, unexplained: 1, lostReplies: 1}},
		{"taken by both", entry{way: byEither, acked: true, relay: 1, api: 1}, tally{acked: 1, recipients: 1, unexplained: 1}},
	} {
		l := newLedger()
		l.entries = []entry{c.entry}
		if got := l.tally(); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	l := newLedger()
	l.took("another-1", true)
	if l.tally().strange != 1 {
		t.Error("an arrival that nobody sent is not counted")
	}
}

// TestSoakVerdict: each broken promise is told.
func TestSoakVerdict(t *testing.T) {
	good := func() *outcome {
		r := &outcome{soak: &soak{duration: 10 * time.Minute}, load: load.NewResult(runID), tally: tally{acked: 1}}
		for range 100 {
			r.memory = append(r.memory, 30<<20)
		}
		return r
	}
	if err := good().verdict(); err != nil {
		t.Errorf("a good run: %v", err)
	}
	for want, spoil := range map[string]func(*outcome){
		"nothing was accepted": func(r *outcome) { r.tally.acked = 0 },
		"got nothing":          func(r *outcome) { r.tally.lost = 1 },
		"duplicates at Resend": func(r *outcome) { r.tally.apiDoubles = 1 },
		"without a lost reply": func(r *outcome) { r.tally.unexplained = 1 },
		"nobody sent":          func(r *outcome) { r.tally.strange = 1 },
		"another body":         func(r *outcome) { r.conflicts = 1 },
		"the queue holds":      func(r *outcome) { r.left = map[string]int{"failed": 1} },
		"the memory grew from 30": func(r *outcome) {
			for i := 75; i < 100; i++ {
				r.memory[i] = 60 << 20
			}
		},
	} {
		r := good()
		spoil(r)
		if err := r.verdict(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// TestSoakKills: what a kill may have taken out of the store is not called a fault.
func TestSoakKills(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name    string
		entry   entry
		damaged bool
		want    uint16
	}{
		{"taken by the relay", entry{way: byRelay, relay: 1, last: now}, false, 1},
		{"long ago", entry{way: byRelay, relay: 1, last: now.Add(-time.Hour)}, true, 0},
		{"reckoned with already", entry{way: byRelay, relay: 1, unanswered: 1, last: now}, true, 1},
		{"taken by the API instead", entry{way: byEither, api: 1, last: now}, false, 0},
		{"the same, with a damaged log", entry{way: byEither, api: 1, last: now}, true, 1},
		{"for the API alone", entry{way: byBoth, api: 1, last: now}, true, 0},
	} {
		l := newLedger()
		l.entries = []entry{c.entry}
		l.killed(now.Add(-time.Minute), c.damaged)
		if got := l.entries[0].unanswered; got != c.want {
			t.Errorf("%s: %d unanswered, want %d", c.name, got, c.want)
		}
	}
}

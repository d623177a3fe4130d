package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// buildMailhatch builds the program, with the flags of the Makefile so that the cache has it.
func buildMailhatch(t *testing.T) string {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("skipped: the go command is not here to build mailhatch")
	}
	binary := filepath.Join(t.TempDir(), "mailhatch")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	build := exec.Command(goTool, "build", "-trimpath", "-ldflags", "-s -w -X main.version=soak", "-o", binary, "../mailhatch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// TestSoak is the soak in short: the same faults, an outage and some reloads.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: it takes a quarter of a minute")
	}
	binary := buildMailhatch(t)
	var out, log bytes.Buffer
	code := command(t.Context(), []string{"soak", "-binary", binary, "-dir", t.TempDir(), "-duration", "10s", "-rate", "100", "-faults", "0.1",
		"-sessions", "8"}, &out, &log)
	t.Logf("%s", &out)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, &log)
	}
	for _, want := range []string{"| **lost** | **0** |", "| reloads | ", "relay reply lost", "API reply lost"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the report", want)
		}
	}
}

func TestSoakUsage(t *testing.T) {
	for _, args := range [][]string{{"-rate", "0"}, {"-duration", "1ms"}, {"-faults", "2"}, {"x"}} {
		var out, log bytes.Buffer
		if code := command(t.Context(), append([]string{"soak"}, args...), &out, &log); code != 2 {
			t.Errorf("%q: exit code %d: %s", args, code, &log)
		}
	}
}

// TestSoakTally: what is called lost or doubled.
func TestSoakTally(t *testing.T) {
	for _, c := range []struct {
		name  string
		entry soakEntry
		want  soakTally
	}{
		{"nothing known", soakEntry{}, soakTally{}},
		{"not acknowledged, arrived all the same", soakEntry{way: byAPI, api: 1}, soakTally{}},
		{"arrived", soakEntry{way: byAPI, acked: true, api: 1}, soakTally{acked: 1, recipients: 1}},
		{"lost", soakEntry{way: byRelay, acked: true}, soakTally{acked: 1, recipients: 1, lost: 1}},
		{"one of two lost", soakEntry{way: byBoth, acked: true, relay: 1}, soakTally{acked: 1, recipients: 2, lost: 1}},
		{"both lost", soakEntry{way: byBoth, acked: true}, soakTally{acked: 1, recipients: 2, lost: 2}},
		{"either", soakEntry{way: byEither, acked: true, api: 1}, soakTally{acked: 1, recipients: 1}},
		{"neither", soakEntry{way: byEither, acked: true}, soakTally{acked: 1, recipients: 1, lost: 1}},
		{"doubled at the API", soakEntry{way: byAPI, acked: true, api: 3}, soakTally{acked: 1, recipients: 1, apiDoubles: 2}},
		{"doubled after a lost reply", soakEntry{way: byRelay, acked: true, relay: 2, unanswered: 1},
			soakTally{acked: 1, recipients: 1, doubles: 1, lostReplies: 1}},
		{"doubled for nothing", soakEntry{way: byRelay, acked: true, relay: 3, unanswered: 1},
			soakTally{acked: 1, recipients: 1, doubles: 1, unexplained: 1, lostReplies: 1}},
		{"taken by both", soakEntry{way: byEither, acked: true, relay: 1, api: 1}, soakTally{acked: 1, recipients: 1, unexplained: 1}},
	} {
		l := newSoakLedger()
		l.entries = []soakEntry{c.entry}
		if got := l.tally(); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	l := newSoakLedger()
	l.took("another-1", true)
	if l.tally().strange != 1 {
		t.Error("an arrival that nobody sent is not counted")
	}
}

// TestSoakVerdict: each broken promise is told.
func TestSoakVerdict(t *testing.T) {
	good := func() *soakReport {
		r := &soakReport{soak: &soak{duration: 10 * time.Minute}, load: newLoadResult(soakRun), tally: soakTally{acked: 1}}
		for range 100 {
			r.memory = append(r.memory, 30<<20)
		}
		return r
	}
	if err := good().verdict(); err != nil {
		t.Errorf("a good run: %v", err)
	}
	for want, spoil := range map[string]func(*soakReport){
		"nothing was accepted": func(r *soakReport) { r.tally.acked = 0 },
		"got nothing":          func(r *soakReport) { r.tally.lost = 1 },
		"duplicates at Resend": func(r *soakReport) { r.tally.apiDoubles = 1 },
		"without a lost reply": func(r *soakReport) { r.tally.unexplained = 1 },
		"nobody sent":          func(r *soakReport) { r.tally.strange = 1 },
		"another body":         func(r *soakReport) { r.conflicts = 1 },
		"the queue holds":      func(r *soakReport) { r.left = map[string]int{"failed": 1} },
		"the memory grew from 30": func(r *soakReport) {
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

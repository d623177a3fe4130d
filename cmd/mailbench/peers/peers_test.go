package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/server"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		of   []float64
		want float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{500, 100, 400}, 400}, {[]float64{100, 50}, 75}} {
		if got := median(tt.of); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.of, got, tt.want)
		}
	}
	rows := []measure.Row{{Server: "a", Accept: 3}, {Server: "b", Accept: 9}, {Server: "a", Accept: 5}, {Server: "a", Failed: "no", Accept: 99}}
	if got := medianOf(rows, "a", func(r measure.Row) float64 { return r.Accept }); got != 4 {
		t.Errorf("median %v", got)
	}
}

func TestChecks(t *testing.T) {
	for _, tt := range []struct {
		check Check
		row   string
	}{
		{ratio("a", "what", "%.0f/s", 900, "Postfix", 100).atLeast(6, 9), "| a | what | 900/s | Postfix 100/s | 9.00 × | ≥ 6 × | ≥ 9 × | aim |\n"},
		{ratio("a", "what", "%.0f/s", 700, "Postfix", 100).atLeast(6, 9), "| a | what | 700/s | Postfix 100/s | 7.00 × | ≥ 6 × | ≥ 9 × | ok |\n"},
		{ratio("a", "what", "%.0f/s", 70, "Postfix", 100).atLeast(0.75, 9), "| a | what | 70/s | Postfix 100/s | 0.70 × | ≥ 0.75 × | ≥ 9 × | MISSED |\n"},
		{ratio("a", "what", "%.0f/s", 70, "Postfix", 0).atLeast(6, 10), "| a | what | 70/s | Postfix n/a | n/a | ≥ 6 × | ≥ 10 × | unknown |\n"},
		{ratio("p99", "what", "%.1f ms", 2, "Postfix", 10).atMost(0.4, 0.1), "| p99 | what | 2.0 ms | Postfix 10.0 ms | 0.20 × | ≤ 0.4 × | ≤ 0.1 × | ok |\n"},
		{ratio("a", "what", "%.0f", 1, "other", 4), "| a | what | 1 | other 4 | 0.25 × |  |  |  |\n"},
		{amount("m", "memory", "%.1f MiB", 31).atMost(30, 20), "| m | memory | 31.0 MiB |  |  | ≤ 30.0 MiB | ≤ 20.0 MiB | MISSED |\n"},
		{amount("r", "refused", "%.0f", 0).atMost(0, 0), "| r | refused | 0 |  |  | ≤ 0 | ≤ 0 | aim |\n"},
		{amount("r", "rate", "%.0f/s", 70).aimFor(80), "| r | rate | 70/s |  |  |  | ≥ 80/s | below the aim |\n"},
		{amount("r", "told", "%.0f", 7), "| r | told | 7 |  |  |  |  |  |\n"},
	} {
		if got := tt.check.row(); got != tt.row {
			t.Errorf("%s, want\n%s", got, tt.row)
		}
	}
}

func TestChooseGroups(t *testing.T) {
	lines := map[string]string{}
	for _, g := range groups() {
		if g.lines[0] != g.name && g.name != "idle" {
			t.Errorf("%s: its first line is %s", g.name, g.lines[0])
		}
		for _, line := range g.lines {
			if lines[line] != "" {
				t.Errorf("line %s is in %s and %s", line, lines[line], g.name)
			}
			lines[line] = g.name
		}
	}
	got, err := chooseGroups("cpu,relay-smtp,p99")
	if err != nil || len(got) != 2 || got[0].name != "relay-smtp" || got[1].name != "accept-16" {
		t.Errorf("%v %+v", err, got)
	}
	if all, err := chooseGroups(""); err != nil || len(all) != len(groups()) {
		t.Errorf("%v %+v", err, all)
	}
}

func TestPeerReport(t *testing.T) {
	r := Report{Rounds: 3, Seconds: 61.2, Absent: []string{"Postfix: none"}, Groups: []Outcome{
		{Group: "a", Checks: []Check{amount("a", "told", "%.0f", 7)}, Notes: []string{"odd"}, Rows: []measure.Row{{Server: "Postfix", Failed: "no"}}},
		{Group: "b", Skipped: "no root"}, {Group: "c", Failed: "broke"},
	}}
	var b strings.Builder
	r.write(&b)
	for _, want := range []string{"Medians of 3 ", "Took 1m1s", "- SKIPPED: Postfix: none", "| a | told | 7 |", "- a: odd", "- b: SKIPPED: no root", "- c: FAILED: broke", "- Postfix,"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	if r.failures() != 2 {
		t.Errorf("%d failures", r.failures())
	}
}

func TestReportGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fails := func(err error) func(context.Context, *rig, *Outcome) error {
		return func(context.Context, *rig, *Outcome) error { return err }
	}
	b := &rig{dir: t.TempDir(), stderr: io.Discard}
	r, err := b.report(ctx, []group{
		{name: "breaks", run: fails(io.ErrUnexpectedEOF)},
		{name: "cannot", run: fails(fmt.Errorf("memory: %w", errors.ErrUnsupported))},
		{name: "works", run: func(_ context.Context, _ *rig, o *Outcome) error { o.note("well"); return nil }},
		{name: "interrupted", run: func(context.Context, *rig, *Outcome) error { cancel(); return nil }},
		{name: "never", run: fails(nil)},
	})
	if err != nil || len(r.Groups) != 3 || r.failures() != 1 {
		t.Fatalf("%v %+v", err, r)
	}
	if r.Groups[0].Failed == "" || r.Groups[1].Skipped == "" || r.Groups[2].Notes[0] != "well" {
		t.Errorf("%+v", r.Groups)
	}
}

func TestEachTakesTurns(t *testing.T) {
	none := func(context.Context, string, server.Target) (*server.Process, error) { return nil, io.EOF }
	b := &rig{rounds: 2, dir: t.TempDir(), servers: map[string]server.Launcher{"a": none, "c": none}}
	var order []string
	err := b.each(t.Context(), []string{"a", "b", "c"}, func(server string) error {
		order = append(order, server)
		return nil
	})
	if err != nil || strings.Join(order, "") != "acac" {
		t.Errorf("%v %v", err, order)
	}
	if err := b.each(t.Context(), []string{"a"}, func(string) error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if rows := b.turns(t.Context(), measure.Case{}, "a", "b"); len(rows) != 2 || rows[0].Failed == "" || measure.Failures(rows) != 2 {
		t.Errorf("%+v", rows)
	}
	if _, err := b.stage(t.Context(), "a", server.Target{}); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(b.dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRelay looks for the relay without a queue where it is not.
func TestRelay(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	b := &rig{dir: t.TempDir(), servers: map[string]server.Launcher{}}
	b.needRelay(t.Context())
	if len(b.absent) != 1 || !strings.Contains(b.absent[0], "not in $PATH") {
		t.Errorf("%v", b.absent)
	}
	b.fetch = true
	b.needRelay(t.Context())
	if len(b.absent) != 2 || !strings.Contains(b.absent[1], "go install") {
		t.Errorf("%v", b.absent)
	}
	b.relay = os.Args[0]
	b.needRelay(t.Context())
	if b.servers["smtprelay"] == nil {
		t.Error("the relay that is named is not used")
	}
}

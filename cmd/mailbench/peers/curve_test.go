package peers

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/cmd/mailbench/benchtest"
	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/server"
)

func TestNiceCeiling(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 0.9: 1, 1: 1.2, 95: 120, 380: 600, 2900: 3200, 9.9: 12} {
		if got := niceCeiling(v); got != want {
			t.Errorf("%v: %v, want %v", v, got, want)
		}
	}
}

func TestCurveReport(t *testing.T) {
	r := CurveReport{Machine: host.Machine{CPU: "A & B", Cores: 2}, Rounds: 3, Points: []CurvePoint{
		{Full: Cost{CPU: 400, Accept: 3000, Delivered: 2000, PSS: 30}, Empty: Cost{CPU: 400, Accept: 3000, Delivered: 2000}},
		{Queued: 1_000_000, Full: Cost{CPU: 500, Accept: 2700, Delivered: 1800, PSS: 60}, Empty: Cost{CPU: 400, Accept: 3000, Delivered: 2000}},
		{History: 100_000, Full: Cost{CPU: 440, Accept: 3000, Delivered: 0}},
	}}
	var table strings.Builder
	r.write(&table)
	for _, want := range []string{"| 0 queued | 400 | 100 % |", "| 1 M queued | 500 | 125 % | 2700 | 90 % | 1800 | 90 % | 60.0 |", "| 100 k sent | 440 | n/a |"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, &table)
		}
	}
	checkPicture(t, r.svg(), "1 M queued", "500 µs", "1800 /s", "A &amp; B")
}

// checkPicture demands well-formed XML with certain texts, and nothing outside the picture.
func checkPicture(t *testing.T, svg string, texts ...string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "script" {
			t.Error("a script")
		}
	}
	for _, want := range append(texts, "<svg ", "polyline") {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error(svg)
	}
}

func TestCurve(t *testing.T) {
	benchtest.NeedSignals(t)
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	t.Setenv("MAILBENCH_FAKE", "relay")
	dir := t.TempDir()
	b := &rig{binary: os.Args[0], dir: dir, rounds: 1, stderr: io.Discard,
		timing:  measure.Timing{Load: 200 * time.Millisecond, Drain: 10 * time.Second, Probe: 10 * time.Millisecond},
		servers: map[string]server.Launcher{"mailhatch": server.Mailhatch(os.Args[0])}}
	r := &CurveReport{Rounds: 1}
	full, remove, err := b.full(t.Context(), filling{Queued: 50, History: 50})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.point(t.Context(), r, full, filling{Queued: 50, History: 50}); err != nil {
		t.Fatal(err)
	}
	if p := r.Points[0]; len(r.Rows) != 2 || measure.Failures(r.Rows) != 0 || p.Full.Delivered <= 0 || p.Empty.Delivered <= 0 {
		t.Errorf("%+v", r)
	}
	checkPicture(t, r.svg(), "50 sent")
	remove()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := measure.WriteJSON(filepath.Join(dir, "c.json"), r); err != nil {
		t.Error(err)
	}
	var back CurveReport
	if b, err := os.ReadFile(filepath.Join(dir, "c.json")); err != nil || json.Unmarshal(b, &back) != nil || len(back.Points) != 1 {
		t.Errorf("%v %s", err, b)
	}
}

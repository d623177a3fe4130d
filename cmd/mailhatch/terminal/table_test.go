package terminal

import (
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	tab := &Table{Head: []string{"A", "LONG HEAD"}}
	tab.Row("übergröße", "x")
	tab.Note("")
	tab.Note("a\nnote\x1b")
	tab.Row("y\tz", "")
	var out strings.Builder
	if err := tab.Write(&out); err != nil {
		t.Fatal(err)
	}
	want := "A          LONG HEAD\nübergröße  x\n    a note \ny z\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 9940: "9.9 kB", 9960: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		41_000_000: "41 MB", 2_500_000_000: "2.5 GB", 5_000_000_000_000_000: "5000 TB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 90 * time.Minute: "1 h", 47 * time.Hour: "47 h",
		49 * time.Hour: "2 d"} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	if Ago(time.Time{}) != "-" || Until(time.Time{}) != "-" || Until(time.Now().Add(-time.Hour)) != "now" {
		t.Error("missing and past times")
	}
}

func TestClip(t *testing.T) {
	if got := Clip("größer", 4); got != "grö…" {
		t.Error(got)
	}
	if got := Clip("größer", 6); got != "größer" {
		t.Error(got)
	}
}

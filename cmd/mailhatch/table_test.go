package main

import (
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/envelope"
)

func TestTable(t *testing.T) {
	tab := &table{head: []string{"A", "LONG HEAD"}}
	tab.row("übergröße", "x")
	tab.note("")
	tab.note("a\nnote\x1b")
	tab.row("y\tz", "")
	var out strings.Builder
	if err := tab.write(&out); err != nil {
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
		if got := size(n); got != want {
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
	if ago(time.Time{}) != "-" || until(time.Time{}) != "-" || until(time.Now().Add(-time.Hour)) != "now" {
		t.Error("missing and past times")
	}
}

func TestClip(t *testing.T) {
	if got := clip("größer", 4); got != "grö…" {
		t.Error(got)
	}
	if got := clip("größer", 6); got != "größer" {
		t.Error(got)
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{"": {}, "90m": now.Add(-90 * time.Minute), "2d": now.Add(-48 * time.Hour),
		"2026-02-27": time.Date(2026, 2, 27, 0, 0, 0, 0, time.UTC), "2026-02-27 08:30": time.Date(2026, 2, 27, 8, 30, 0, 0, time.UTC),
		"2026-02-27T08:30:00+02:00": time.Date(2026, 2, 27, 6, 30, 0, 0, time.UTC)} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
	for _, s := range []string{"-1h", "soon", "2026-13-01"} {
		if got, err := parseSince(s, now); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// TestPrintLog shows what only finished and deferred mail has.
func TestPrintLog(t *testing.T) {
	var out strings.Builder
	a := &app{stdout: &out}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	err := a.printLog(&admin.Log{Entries: []admin.Entry{
		{ID: "A1", At: at, State: envelope.Sent, To: "ann@example.org", Upstream: "main", ProviderID: "p-1", Error: "an old one"},
		{ID: "B2", At: at, State: envelope.Queued, From: "app@example.com", To: "bob@example.org", Attempts: 1, Error: "451 later"},
		{ID: "C3", At: at, State: envelope.Sent, From: "app@example.com", To: "eve@example.org", Given: "eve"},
	}})
	want := `TIME                 ID  STATE   UPSTREAM  FROM             TO
2026-03-01 12:00:00  A1  sent    main      <>               ann@example.org
    as p-1
2026-03-01 12:00:00  B2  queued  -         app@example.com  bob@example.org
    1 attempt, next -
    451 later
2026-03-01 12:00:00  C3  sent    -         app@example.com  eve@example.org (eve)
`
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestPrintStatusOfStrayMail(t *testing.T) {
	var out strings.Builder
	a := &app{stdout: &out}
	err := a.printStatus(&admin.Status{Running: true, Version: "1", Hostname: "gw", Upstreams: []admin.Upstream{{Queued: 3}, {Name: "b", State: "open", InFlight: 1}}})
	if err != nil || !strings.Contains(out.String(), "(none)    -     -      0          -     3       -\n") ||
		!strings.Contains(out.String(), "b         -     open   1          -     0       -\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

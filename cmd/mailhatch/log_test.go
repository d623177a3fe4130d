package main

import (
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/envelope"
)

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

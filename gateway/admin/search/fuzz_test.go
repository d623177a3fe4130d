package search

import (
	"testing"
	"time"
)

// FuzzSince: whatever somebody writes is a time or an error, and a span does not end before it begins.
func FuzzSince(f *testing.F) {
	for _, s := range []string{"2h", "1d12h ago", "11:30", "yesterday 11:30", "monday", "nov 30, 2026 7:05", "2026-11-30T11:00:00Z", "@1700000000", "feb 29", "-"} {
		f.Add(s)
	}
	at := time.Date(2026, 11, 30, 9, 15, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		since, err := Since(s, at)
		until, other := Until(s, at)
		if (err == nil) != (other == nil) || err == nil && until.Before(since) {
			t.Errorf("%q: %s, %v to %s, %v", s, since, err, until, other)
		}
	})
}

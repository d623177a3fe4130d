package say

import (
	"testing"
	"time"
)

// TestSay: times, sizes, numbers and lists as people read them.
func TestSay(t *testing.T) {
	for d, want := range map[time.Duration]string{-1: "0 s", 0: "0 ms", 7 * time.Millisecond: "7 ms", 2400 * time.Millisecond: "2.4 s", 12 * time.Second: "12 s", 3 * time.Minute: "3 min",
		time.Hour: "1 h", 65 * time.Minute: "1 h 5 min", 23*time.Hour + time.Minute: "23 h", 49 * time.Hour: "2 d 1 h"} {
		if got := Duration(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{1: "1 byte", 999: "999 bytes", 2048: "2 kB", 3 << 19: "1.5 MB", 20 << 20: "20 MB"} {
		if got := Size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 12: "12", 1234: "1,234", -1234567: "-1,234,567"} {
		if got := Number(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for _, names := range [][]string{nil, {"a"}, {"a", "b"}, {"a", "b", "c"}, {"a", "b", "c", "d"}} {
		want := map[int]string{0: "", 1: "a", 2: "a and b", 3: "a, b and c", 4: "a, b, c and 1 more"}[len(names)]
		if got := Listed(names, 3); got != want {
			t.Errorf("%q is %q", names, got)
		}
	}
	if got := Clip("größer", 4); got != "grö…" {
		t.Error(got)
	}
	if got := Count(1, "recipient") + ", " + Count(1200, "recipient") + ", " + Plural(2, "delivery", "deliveries"); got != "1 recipient, 1,200 recipients, deliveries" {
		t.Error(got)
	}
}

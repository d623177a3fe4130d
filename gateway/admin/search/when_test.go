package search

import (
	"strings"
	"testing"
	"time"
)

// now is a Monday.
var now = time.Date(2026, 11, 30, 9, 15, 30, 0, time.FixedZone("CET", 3600))

func TestTimesAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]string{
		"90m": "2026-11-30 07:45:30", "2h": "2026-11-30 07:15:30", "2 hours ago": "2026-11-30 07:15:30", "-1d": "2026-11-29 09:15:30", "1d12h": "2026-11-28 21:15:30",
		"2w": "2026-11-16 09:15:30", "1 week ago": "2026-11-23 09:15:30", "0.5d": "2026-11-29 21:15:30", "10 min": "2026-11-30 09:05:30", "30 sec": "2026-11-30 09:15:00",
		"now": "2026-11-30 09:15:30", "@1700000000": "2023-11-14 23:13:20",
		"08:30": "2026-11-30 08:30:00", "11:30": "2026-11-29 11:30:00", "11:30:05": "2026-11-29 11:30:05",
		"today": "2026-11-30 00:00:00", "Yesterday": "2026-11-29 00:00:00", "monday": "2026-11-30 00:00:00", "Fri": "2026-11-27 00:00:00", "TUESDAY": "2026-11-24 00:00:00",
		"yesterday 11:30": "2026-11-29 11:30:00", "yesterdayT11:30": "2026-11-29 11:30:00", "sat 08:00:01": "2026-11-28 08:00:01", "today 23:00": "2026-11-30 23:00:00",
		"2026-11-30": "2026-11-30 00:00:00", "2026-11-30T11:00": "2026-11-30 11:00:00", "2026-11-30 11:00:07": "2026-11-30 11:00:07", "2026-02-03T04:05:06.5": "2026-02-03 04:05:06",
		"2026-11-30T11:00:00Z": "2026-11-30 12:00:00", "2026-11-30T11:00:00+01:00": "2026-11-30 11:00:00",
		"Nov 3": "2026-11-03 00:00:00", "3 nov": "2026-11-03 00:00:00", "Dec 1": "2025-12-01 00:00:00", "feb 29": "2024-02-29 00:00:00", "Nov 3 11:00": "2026-11-03 11:00:00",
		"3 Nov 2024": "2024-11-03 00:00:00", "Nov 3, 2024 7:05": "2024-11-03 07:05:00",
	} {
		got, err := Since(text, now)
		if s := got.In(now.Location()).Format(time.DateTime); err != nil || s != want {
			t.Errorf("%q: %s, %v; want %s", text, s, err, want)
		}
	}
	for _, text := range []string{"", "soon", "h", "2", "2x", "25:00", "2026-13-01", "yesterday 25:00", "t11:30", "@x", "nov 31", "999999999999h", "200000d", "-", "ago", strings.Repeat("1h", 100)} {
		if got, err := Since(text, now); err == nil || !strings.Contains(err.Error(), "is not a time; write") {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func TestUntilTheEndOfADay(t *testing.T) {
	for text, want := range map[string]string{
		"today": "2026-12-01 00:00:00", "yesterday": "2026-11-30 00:00:00", "2026-11-28": "2026-11-29 00:00:00", "fri": "2026-11-28 00:00:00",
		"08:30": "2026-11-30 08:30:00", "2h": "2026-11-30 07:15:30", "yesterday 11:30": "2026-11-29 11:30:00",
	} {
		if got, err := Until(text, now); err != nil || got.Format(time.DateTime) != want {
			t.Errorf("%q: %s, %v; want %s", text, got.Format(time.DateTime), err, want)
		}
	}
}

package quota_test

import (
	"testing"
	"time"

	"mailhatch/gateway/quota"
)

func TestLimitText(t *testing.T) {
	for text, want := range map[string]quota.Limit{"300/d": {300, "d"}, "50 / h": {50, "h"}, "9000/month": {9000, "month"}} {
		var l quota.Limit
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want {
			t.Errorf("%s: %v, %v", text, l, err)
		}
	}
	if got := (quota.Limit{Count: 300, Per: "d"}).String(); got != "300/d" {
		t.Error(got)
	}
	for _, text := range []string{"", "300", "0/d", "-1/d", "300/day", "300/m", "300/s", "x/d", "2000000000/d", "1/d/d"} {
		var l quota.Limit
		if err := l.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, l)
		}
	}
}

func TestZone(t *testing.T) {
	for name, want := range map[string]string{"": "UTC", "UTC": "UTC", "Europe/Berlin": "Europe/Berlin", "Berlin": "", "Local": "", "+01:00": "", "../etc/passwd": ""} {
		if zone, err := quota.Zone(name); (err == nil) != (want != "") || err == nil && zone.String() != want {
			t.Errorf("%s: %v, %v", name, zone, err)
		}
	}
}

// TestWindow: hours, days and months as the clocks of a zone show them.
func TestWindow(t *testing.T) {
	for _, c := range []struct{ name, zone, per, at, from, until string }{
		{"a day", "UTC", "d", "2026-11-30T17:32:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"its first moment", "UTC", "d", "2026-11-30T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"its last one", "UTC", "d", "2026-11-30T23:59:59.9Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"an hour", "UTC", "h", "2026-11-30T17:32:00Z", "2026-11-30T17:00:00Z", "2026-11-30T18:00:00Z"},
		{"an hour where clocks are half an hour off", "Asia/Kolkata", "h", "2026-11-30T17:45:00Z", "2026-11-30T17:30:00Z", "2026-11-30T18:30:00Z"},
		{"a month", "UTC", "month", "2026-11-30T17:32:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"December", "UTC", "month", "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"February", "UTC", "month", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{"the 31st before a short month", "UTC", "month", "2027-01-31T12:00:00Z", "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"},
		{"a day of another zone", "America/New_York", "d", "2026-11-30T04:59:59Z", "2026-11-29T05:00:00Z", "2026-11-30T05:00:00Z"},
		{"a day of 23 hours", "Europe/Berlin", "d", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"a day of 25 hours", "Europe/Berlin", "d", "2026-10-25T22:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"a month with a change", "Europe/Berlin", "month", "2026-03-30T12:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"},
		{"the hour after the one that is skipped", "Europe/Berlin", "h", "2026-03-29T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		{"the hour that comes twice is one window", "Europe/Berlin", "h", "2026-10-25T01:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"},
		{"a day whose midnight is skipped", "Africa/Cairo", "d", "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
		{"the day before it", "Africa/Cairo", "d", "2026-04-23T12:00:00Z", "2026-04-22T22:00:00Z", "2026-04-23T22:00:00Z"},
		{"a day whose midnight comes twice", "Atlantic/Azores", "d", "2026-10-25T12:00:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"},
		{"a last hour that comes twice", "Africa/Cairo", "d", "2026-10-29T21:30:00Z", "2026-10-28T21:00:00Z", "2026-10-29T22:00:00Z"},
		{"before a day that there was not", "Pacific/Apia", "d", "2011-12-30T09:00:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
		{"after it", "Pacific/Apia", "d", "2011-12-30T11:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
		{"put back from one past midnight", "America/St_Johns", "d", "2010-11-07T03:00:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := time.Parse(time.RFC3339, c.at)
		from, until := quota.Limit{Count: 1, Per: c.per}.Window(at, zone)
		if got := from.UTC().Format(time.RFC3339); got != c.from {
			t.Errorf("%s: from %s, want %s", c.name, got, c.from)
		}
		if got := until.UTC().Format(time.RFC3339); got != c.until {
			t.Errorf("%s: until %s, want %s", c.name, got, c.until)
		}
	}
}

// TestWindowsFollowEachOther: no moment is in two windows or in none, whatever clocks do.
func TestWindowsFollowEachOther(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "Africa/Cairo", "Atlantic/Azores", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, per := range []string{"h", "d", "month"} {
			l := quota.Limit{Count: 1, Per: per}
			at := time.Date(2010, time.March, 1, 0, 0, 0, 0, time.UTC)
			_, at = l.Window(at, zone)
			for n := 0; n < 12_000 && at.Year() < 2012; n++ {
				from, until := l.Window(at, zone)
				if !from.Equal(at) || !until.After(from) {
					t.Fatalf("%s, %s: the window at %s is from %s until %s", name, per, at, from, until)
				}
				if from2, until2 := l.Window(until.Add(-time.Nanosecond), zone); !from2.Equal(from) || !until2.Equal(until) {
					t.Fatalf("%s, %s: the window of %s ends with another: %s until %s", name, per, from, from2, until2)
				}
				at = until
			}
		}
	}
}

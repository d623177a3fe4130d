// Package quota is how many recipients an upstream may take within an hour, a day or a month of the calendar.
package quota

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // machines without zone files: containers, Windows
)

// Limit is a number of recipients in each window of a calendar.
type Limit struct {
	Count int
	Per   string // h, d or month
}

const mostCount = 1e9

// UnmarshalText reads "300/d", "50/h" or "9000/month".
func (l *Limit) UnmarshalText(text []byte) error {
	count, per, _ := strings.Cut(string(text), "/")
	per = strings.TrimSpace(per)
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil || n < 1 || n > mostCount || !slices.Contains([]string{"h", "d", "month"}, per) {
		return fmt.Errorf(`must be a number of recipients in an hour, a day or a month, such as "50/h", "300/d" or "9000/month", not %q`, text)
	}
	*l = Limit{Count: n, Per: per}
	return nil
}

// String returns the limit as the config spells it.
func (l Limit) String() string { return strconv.Itoa(l.Count) + "/" + l.Per }

// Zone returns the time zone of an IANA name; "" is UTC.
func Zone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" { // another one on each machine
		return time.UTC, fmt.Errorf(`must be the IANA name of a time zone, such as "UTC", "Europe/Berlin" or "America/New_York", not %q`, name)
	}
	return zone, nil
}

// Window returns the hour, day or month of zone in which at lies: from its beginning until that of the next.
func (l Limit) Window(at time.Time, zone *time.Location) (from, until time.Time) {
	at = at.In(zone)
	y, m, d, h := at.Year(), at.Month(), at.Day(), at.Hour()
	begin := func(n int) time.Time { // of the window n further on
		switch l.Per {
		case "h":
			return first(time.Date(y, m, d, h+n, 0, 0, 0, time.UTC), zone)
		case "d":
			return first(time.Date(y, m, d+n, 0, 0, 0, 0, time.UTC), zone)
		}
		return first(time.Date(y, m+time.Month(n), 1, 0, 0, 0, 0, time.UTC), zone)
	}
	n := 1
	// Clocks that are put back from shortly after midnight show the day before once more: it is over.
	for until = begin(n); !at.Before(until); until = begin(n) {
		n++
	}
	return begin(n - 1), until
}

// first returns the first moment at which the clocks of zone show wall or later: it may be skipped, or come twice.
func first(wall time.Time, zone *time.Location) time.Time {
	at := wall.Add(-48 * time.Hour).In(zone) // before wall in every zone
	for {
		_, offset := at.Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		if t.Before(at) {
			t = at
		}
		_, end := at.ZoneBounds()
		if end.IsZero() || t.Before(end) {
			return t
		}
		at = end
	}
}

package words

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// again begins what says when to come back.
const again = `(?i:(?:try|trying|send|sending)(?: it)? again|retry|wait|available|resets?|until|not before)`

var (
	span = regexp.MustCompile(`(?i)(?:` + again + `(?: again)? (?:after|in|for|at least)|wait) (\d+(?:\.\d+)?)\s*(?:(s|sec|second|m|min|minute|h|hour|d|day)s?\b|$|[.,;)])`)
	date = regexp.MustCompile(`(?i)` + again + `(?: again)?(?: after| at| on| until)?:? `)
)

// Wait returns how long after now the words of a refusal ask to come back: "try again after 120 seconds", or after a
// point in time, see [Time]. ok is false where they do not say; what is past is 0.
func Wait(message string, now time.Time) (d time.Duration, ok bool) {
	for _, at := range date.FindAllStringIndex(message, -1) {
		if t, ok := Time(message[at[1]:]); ok {
			return max(t.Sub(now), 0), true
		}
	}
	m := span.FindStringSubmatch(message)
	if m == nil {
		return 0, false
	}
	unit := time.Second
	switch strings.ToLower(m[2] + "s")[0] {
	case 'm':
		unit = time.Minute
	case 'h':
		unit = time.Hour
	case 'd':
		unit = 24 * time.Hour
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return time.Duration(math.Min(n, 1e6) * float64(unit)), true
}

// The forms of a point in time: ISO 8601, RFC 5322 3.3 with the obsolete ones of RFC 9110 5.6.7 (RFC 850), and asctime.
const zoneForm = `(?: ?(z|[+-]\d\d:?\d\d|[a-z]{1,4})\b)?`

var forms = []struct {
	form    *regexp.Regexp
	layouts []string
}{
	{regexp.MustCompile(`(?i)^(\d{4}-\d\d-\d\d(?:[t ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?)` + zoneForm),
		[]string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}},
	{regexp.MustCompile(`(?i)^(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?(\d{1,2}[ -](?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[ -]\d{2,4},? \d\d:\d\d(?::\d\d)?)` + zoneForm),
		[]string{"2 Jan 2006 15:04:05", "2 Jan 2006 15:04", "2-Jan-06 15:04:05", "2-Jan-2006 15:04:05", "2 Jan 06 15:04:05", "2 Jan 06 15:04"}},
	{regexp.MustCompile(`(?i)^(?:mon|tue|wed|thu|fri|sat|sun) ((?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) [ \d]?\d \d\d:\d\d:\d\d \d{4})()`),
		[]string{"Jan _2 15:04:05 2006", "Jan 2 15:04:05 2006"}},
}

// zones are those of RFC 5322 4.3, in hours; any other name says nothing, as there.
var zones = map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}

// Time reads the point in time that s begins with, as RFC 9110 5.6.7, RFC 5322 3.3 or ISO 8601 writes it; one without
// a zone is UTC.
func Time(s string) (t time.Time, ok bool) {
	s = strings.TrimSpace(s)
	for _, f := range forms {
		m := f.form.FindStringSubmatch(s)
		if m == nil {
			continue
		}
		text := strings.ToUpper(strings.ReplaceAll(m[1], ", ", " "))
		for _, layout := range f.layouts {
			if t, err := time.Parse(layout, text); err == nil {
				return t.Add(-offset(strings.ToUpper(m[2]))), true
			}
		}
	}
	return t, false
}

// offset is what a zone is ahead of UTC.
func offset(zone string) time.Duration {
	digits := strings.ReplaceAll(strings.TrimLeft(zone, "+-"), ":", "")
	if n, err := strconv.Atoi(digits); err == nil && len(digits) == 4 {
		d := time.Duration(n/100)*time.Hour + time.Duration(n%100)*time.Minute
		if zone[0] == '-' {
			return -d
		}
		return d
	}
	return time.Duration(zones[zone]) * time.Hour
}

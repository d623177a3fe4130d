// Package search reads what people write when they look for mail: times and words.
package search

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"mailhatch/upstream"
)

// Since returns the time that people mean by a text, or the beginning of the day where it names a whole one: a time
// ago (90m, 2h, 1d12h, 2w, with or without "ago"), a time of day (11:30, 9pm, noon), the last that there was, or a day
// (today, yesterday, monday, last monday, 2026-11-30, Nov 30), alone or with a time of day (yesterday 11:30,
// 2026-11-30T11:00), a week or a month (this week, last month), a time of RFC 3339, or seconds since 1970 (@1700000000).
// Weeks begin on Monday. Times without a zone are in that of now.
func Since(text string, now time.Time) (time.Time, error) {
	from, _, err := span(text, now)
	return from, err
}

// Until is like Since, but a whole day, week or month stands for its end.
func Until(text string, now time.Time) (time.Time, error) {
	_, to, err := span(text, now)
	return to, err
}

// span returns the first moment of what a text names, and the first one after it.
func span(text string, now time.Time) (from, to time.Time, err error) {
	if len(text) > maxTime {
		return time.Time{}, time.Time{}, notTime(text[:maxTime] + "…")
	}
	s := strings.Join(strings.Fields(strings.ToLower(text)), " ")
	if t, ok := point(s, now); ok {
		return t, t, nil
	}
	if t, ok := timeOfDay(s, today(now)); ok {
		if t.After(now) {
			t = t.AddDate(0, 0, -1)
		}
		return t, t, nil
	}
	if d, ok := day(s, now); ok {
		return d, d.AddDate(0, 0, 1), nil
	}
	if from, to, ok := stretch(s, now); ok {
		return from, to, nil
	}
	// A day with a time: the last separator that leaves both.
	for i := len(s) - 1; i > 0; i-- {
		if s[i] != ' ' && s[i] != 't' {
			continue
		}
		d, ok := day(s[:i], now)
		if !ok {
			continue
		}
		if t, ok := timeOfDay(s[i+1:], d); ok {
			return t, t, nil
		}
	}
	return time.Time{}, time.Time{}, notTime(text)
}

// maxTime is how many bytes a time has at most.
const maxTime = 100

func notTime(text string) error {
	return fmt.Errorf("%q is not a time; write 2h (ago), 11:30, 9pm, yesterday, monday, last week, 2026-11-30 or 2026-11-30T11:00", text)
}

func today(now time.Time) time.Time {
	return time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
}

// point reads what needs no calendar.
func point(s string, now time.Time) (time.Time, bool) {
	if s == "now" {
		return now, true
	}
	if seconds, ok := strings.CutPrefix(s, "@"); ok {
		n, err := strconv.ParseInt(seconds, 10, 40)
		return time.Unix(n, 0).In(now.Location()), err == nil
	}
	if t, err := time.Parse(time.RFC3339, strings.ToUpper(s)); err == nil {
		return t, true
	}
	for _, one := range []string{"a ", "an "} {
		if rest, ok := strings.CutPrefix(s, one); ok && strings.HasSuffix(s, " ago") {
			s = "1 " + rest
		}
	}
	if d, ok := ago(strings.TrimSpace(strings.TrimPrefix(strings.TrimSuffix(s, "ago"), "-"))); ok {
		return now.Add(-d), true
	}
	return time.Time{}, false
}

const maxAgo = 100 * 365 * 24 * time.Hour

// ago reads numbers with units, such as 90m, 2 h or 1d12h: weeks, days, and what durations of the config have.
func ago(s string) (total time.Duration, ok bool) {
	s = strings.ReplaceAll(s, " ", "")
	if s == "" {
		return 0, false
	}
	for s != "" {
		n := strings.IndexFunc(s, unicode.IsLetter)
		if n <= 0 {
			return 0, false
		}
		end := n
		for end < len(s) && s[end] >= 'a' && s[end] <= 'z' {
			end++
		}
		d, ok := times(s[:n], s[n:end])
		if total += d; !ok || total > maxAgo {
			return 0, false
		}
		s = s[end:]
	}
	return total, true
}

func times(number, unit string) (time.Duration, bool) {
	switch unit {
	case "w", "week", "weeks", "d", "day", "days":
		f, err := strconv.ParseFloat(number, 64)
		if unit[0] == 'w' {
			f *= 7
		}
		return time.Duration(f * 24 * float64(time.Hour)), err == nil && f >= 0 && f < maxAgo.Hours()/24
	case "hour", "hours":
		unit = "h"
	case "min", "mins", "minute", "minutes":
		unit = "m"
	case "sec", "secs", "second", "seconds":
		unit = "s"
	}
	var d upstream.Duration
	err := d.UnmarshalText([]byte(number + unit))
	return d.Duration, err == nil && d.Duration <= maxAgo
}

// timeOfDay reads 11:30, 11:30:05 and 9pm as that time of a day.
func timeOfDay(s string, day time.Time) (time.Time, bool) {
	switch s {
	case "noon":
		s = "12:00"
	case "midnight":
		s = "00:00"
	}
	for _, layout := range []string{"15:04", "15:04:05", "15:04:05.999999999", "3pm", "3 pm", "3:04pm", "3:04 pm"} {
		if t, err := time.Parse(layout, s); err == nil {
			return time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), day.Location()), true
		}
	}
	return time.Time{}, false
}

// day reads a day; one without a year is the last that there was, today included.
func day(s string, now time.Time) (time.Time, bool) {
	switch s {
	case "today":
		return today(now), true
	case "yesterday":
		return today(now).AddDate(0, 0, -1), true
	}
	first := 0 // days ago of the first that it can be
	if name, ok := strings.CutPrefix(s, "last "); ok {
		s, first = name, 1
	}
	for n := range 7 {
		d := today(now).AddDate(0, 0, -n-first)
		if name := strings.ToLower(d.Weekday().String()); s == name || s == name[:3] {
			return d, true
		}
	}
	if first > 0 {
		return time.Time{}, false
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, now.Location()); err == nil {
		return t, true
	}
	for _, layout := range []string{"2 Jan 2006", "Jan 2 2006", "Jan 2, 2006"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, true
		}
	}
	for _, layout := range []string{"2 Jan", "Jan 2"} {
		for year := now.Year(); year > now.Year()-8; year-- { // there may be no such day in most years
			t, err := time.ParseInLocation(layout+" 2006", fmt.Sprintf("%s %d", s, year), now.Location())
			if err == nil && !t.After(now) {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// stretch reads this and the last week and month, of which the present one ends with today.
func stretch(s string, now time.Time) (from, to time.Time, ok bool) {
	d := today(now)
	week, month := d.AddDate(0, 0, -(int(d.Weekday())+6)%7), d.AddDate(0, 0, 1-d.Day())
	switch s {
	case "this week":
		return week, d.AddDate(0, 0, 1), true
	case "last week":
		return week.AddDate(0, 0, -7), week, true
	case "this month":
		return month, d.AddDate(0, 0, 1), true
	case "last month":
		return month.AddDate(0, -1, 0), month, true
	}
	return time.Time{}, time.Time{}, false
}

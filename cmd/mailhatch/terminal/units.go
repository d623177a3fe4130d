package terminal

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Plain replaces what is hazardous in text that others wrote, by spaces and, where it would be invisible, by U+FFFD.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r):
			return ' '
		case hazardous(r):
			return utf8.RuneError
		}
		return r
	}, s)
}

// Clip shortens s to max characters.
func Clip(s string, max int) string {
	if utf8.RuneCountInString(s) <= max {
		return s
	}
	return string([]rune(s)[:max-1]) + "…"
}

// Size formats a number of bytes with a decimal unit.
func Size(n int64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1000, 0
	for f >= 999.5 && unit < len(units)-1 {
		f /= 1000
		unit++
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f %s", f, units[unit])
	}
	return fmt.Sprintf("%.0f %s", f, units[unit])
}

// span formats a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// Ago returns how long ago t was; a dash stands for the zero time.
func Ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(max(0, time.Since(t)))
}

// Until returns how far in the future t is; a dash stands for the zero time.
func Until(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if d := time.Until(t); d >= time.Second {
		return "in " + span(d)
	}
	return "now"
}

// Moment formats a time in the time zone of this machine.
func Moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// Clock formats a time like Moment, without its date if it is within twelve hours.
func Clock(t time.Time) string {
	if time.Until(t) < 12*time.Hour {
		return t.Local().Format("15:04:05")
	}
	return Moment(t)
}

// OrDash returns s, or a dash if it is empty.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Sender returns an envelope sender as SMTP writes it: <> is the null sender.
func Sender(s string) string {
	if s == "" {
		return "<>"
	}
	return s
}

// Count returns n and a noun, in the plural if need be.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "s") {
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

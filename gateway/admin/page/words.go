package page

import (
	"fmt"
	"html/template"
	stdmime "mime"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// words are the functions that templates have.
func words() template.FuncMap {
	return template.FuncMap{
		"state": stateWord, "shape": stateShape, "size": sizeWords, "number": number, "count": count, "ago": ago, "until": until,
		"clip": clip, "lower": strings.ToLower,
		"tone": stateTone, "deliveriesWait": deliveriesWait,
	}
}

// stateWord is what people read for a state.
func stateWord(s envelope.State) string {
	if s == envelope.Queued {
		return "waits"
	}
	return string(s)
}

// stateShape is what tells a state from others where colours cannot.
func stateShape(s envelope.State) string {
	switch s {
	case envelope.Sent:
		return "●"
	case envelope.Delivered:
		return "✓"
	case envelope.Bounced, envelope.Complained:
		return "▼"
	case envelope.Queued:
		return "◐"
	case envelope.Held:
		return "■"
	case envelope.Failed:
		return "▲"
	case envelope.Refused:
		return "✕"
	}
	return "○"
}

// stateTone is the class of a state in the stylesheet.
func stateTone(s envelope.State) string {
	switch s {
	case envelope.Queued:
		return "waits"
	case envelope.Delivered:
		return string(envelope.Sent)
	case envelope.Bounced, envelope.Complained:
		return string(envelope.Failed)
	case envelope.Refused: // nothing of ours has failed
		return string(envelope.Discarded)
	}
	return string(s)
}

// number writes 1234567 as 1,234,567.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes how many there are of something: "1 recipient", "2 recipients".
func count(n int, what string) string { return number(n) + " " + plural(n, what, what+"s") }

// plural chooses the word for one or the one for any other number.
func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func sizeWords(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d kB", (n+512)>>10)
	}
	return count(int(n), "byte")
}

// duration writes a time span in one or two units: "3 s", "2 min", "1 h 5 min", "3 d".
func duration(d time.Duration) string {
	two := func(n time.Duration, big string, rest time.Duration, small string) string {
		if rest == 0 || n >= 10 {
			return fmt.Sprintf("%d %s", n, big)
		}
		return fmt.Sprintf("%d %s %d %s", n, big, rest, small)
	}
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second && d%time.Second >= 100*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 24*time.Hour:
		return two(d/time.Hour, "h", d%time.Hour/time.Minute, "min")
	}
	return two(d/(24*time.Hour), "d", d%(24*time.Hour)/time.Hour, "h")
}

// moment writes a time for people, with the whole of it for those who point at it and for programs. The script keeps it right.
func moment(t time.Time, text string) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.UTC().Format(time.RFC3339), //nolint:gosec // all texts are escaped
		template.HTMLEscapeString(t.Local().Format("Mon 2 Jan 2006 15:04:05 MST")), template.HTMLEscapeString(text)))
}

// ago writes how long ago a time is.
func ago(t, now time.Time) template.HTML {
	d := now.Sub(t)
	text := "now"
	if d >= time.Second {
		text = duration(d.Truncate(time.Second)) + " ago"
	}
	return moment(t, text)
}

// until writes how long it is until a time.
func until(t, now time.Time) template.HTML {
	d := t.Sub(now)
	text := "now"
	if d >= time.Second {
		text = "in " + duration(d.Truncate(time.Second))
	}
	return moment(t, text)
}

// clip cuts a text that is too long for its place.
func clip(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

// listed joins names: "a", "a and b", "a, b and 3 more".
func listed(names []string, most int) string {
	names = slices.Compact(slices.Clone(names))
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return names[0]
	case n <= most:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// sender writes the null sender as people know it.
func sender(from string) string {
	if from == "" {
		return "<>"
	}
	return mime.AddressText(from)
}

// contentDisposition makes a file of an answer (RFC 6266), whatever its name has in it.
func contentDisposition(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '/' || r == '\\' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	if s := stdmime.FormatMediaType("attachment", map[string]string{"filename": name}); s != "" {
		return s
	}
	return "attachment"
}

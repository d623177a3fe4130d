package page

import (
	"fmt"
	"html/template"
	stdmime "mime"
	"strings"
	"time"

	"mailhatch/gateway/admin/page/say"
	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// words are the functions that templates have.
func words() template.FuncMap {
	return template.FuncMap{
		"state": stateWord, "shape": stateShape, "size": say.Size, "number": say.Number, "count": say.Count, "ago": ago, "until": until,
		"clip": say.Clip, "lower": strings.ToLower,
		"tone": stateTone, "partsWait": partsWait,
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
		text = say.Duration(d.Truncate(time.Second)) + " ago"
	}
	return moment(t, text)
}

// until writes how long it is until a time.
func until(t, now time.Time) template.HTML {
	d := t.Sub(now)
	text := "now"
	if d >= time.Second {
		text = "in " + say.Duration(d.Truncate(time.Second))
	}
	return moment(t, text)
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

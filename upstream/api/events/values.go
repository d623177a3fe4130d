package events

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream/api"
)

// Text is a value of JSON that is read as text, whatever type it has; objects, lists and null are "".
type Text string

// UnmarshalJSON accepts anything.
func (t *Text) UnmarshalJSON(raw []byte) error {
	var s string
	switch {
	case len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || raw[0] == 'n':
	case raw[0] == '"':
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
	default:
		s = string(raw)
	}
	*t = Text(s)
	return nil
}

// Texts is a list of values, or one value that stands for a list of one.
type Texts []string

// UnmarshalJSON accepts anything.
func (t *Texts) UnmarshalJSON(raw []byte) error {
	*t = nil
	var list []Text
	if json.Unmarshal(raw, &list) != nil {
		var one Text
		if err := one.UnmarshalJSON(raw); err != nil || one == "" {
			return err
		}
		list = []Text{one}
	}
	for _, s := range list {
		*t = append(*t, string(s))
	}
	return nil
}

// Fields are the values of an object that hold text; anything else has none. An object that is written as a string is
// read too.
type Fields map[string]string

// UnmarshalJSON accepts anything.
func (f *Fields) UnmarshalJSON(raw []byte) error {
	*f = nil
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = []byte(text)
	}
	var object map[string]Text
	if json.Unmarshal(raw, &object) != nil {
		return nil
	}
	*f = make(Fields, len(object))
	for name, value := range object {
		(*f)[name] = string(value)
	}
	return nil
}

// OneLine makes a provider's words one line of at most 1,000 bytes.
func OneLine(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), 4*maxWords)], "\uFFFD")
	s = strings.Join(strings.Fields(api.Line(s)), " ")
	if len(s) > maxWords {
		s = strings.ToValidUTF8(s[:maxWords], "") + "…"
	}
	return s
}

// Status returns an enhanced status code (RFC 3463), "" where it is not one.
func Status(s string) string {
	parts := strings.Split(strings.TrimSpace(s), ".")
	if len(parts) != 3 || parts[0] != "2" && parts[0] != "4" && parts[0] != "5" {
		return ""
	}
	for _, part := range parts {
		if part == "" || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
			return ""
		}
	}
	return strings.Join(parts, ".")
}

// StatusIn finds an enhanced status code in what a relay answered: "smtp; 550 5.1.1 no such user".
func StatusIn(words string) string {
	for i, word := range strings.FieldsFunc(words, func(r rune) bool {
		return r == ' ' || r == '-' || r == ';' || r == '#' || r == '(' || r == ')' || r == ','
	}) {
		if i == 6 {
			break
		}
		if s := Status(word); s != "" {
			return s
		}
	}
	return ""
}

// Moment reads a time in one of the ways in which providers write it: seconds since 1970, with or without a fraction, or
// text, which is UTC where it has no zone. It is zero where it cannot be read.
func Moment(text Text) time.Time {
	if s, err := strconv.ParseFloat(string(text), 64); err == nil && s > 1e9 && s < 1e11 { // since 2001
		whole, part := math.Modf(s)
		return time.Unix(int64(whole), int64(part*1e9)).UTC()
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999Z07:00", time.RFC1123, time.RFC1123Z, time.DateTime} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			return t
		}
	}
	return time.Time{}
}

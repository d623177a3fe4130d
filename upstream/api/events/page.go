package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Bounds of what is believed of one event, in bytes.
const (
	maxWords   = 1000
	maxAddress = 320 // RFC 5321 4.5.3.1
	maxID      = 998
)

// Page collects the events of a request, and counts what is none.
type Page struct {
	upstream.Batch
	now time.Time
}

// NewPage begins one; nothing in it happened later than now.
func NewPage(now time.Time) *Page { return &Page{now: now} }

// Add takes an event, or counts it where it has no recipient, no key, or ids that nobody gives.
func (p *Page) Add(e upstream.Event) {
	e.Recipient = strings.TrimSpace(e.Recipient)
	at := strings.LastIndexByte(e.Recipient, '@')
	switch {
	case len(p.Events) >= upstream.MaxEvents:
		p.Skip("more than %d events at once", upstream.MaxEvents)
		return
	case e.Kind == 0:
		p.Skip("an event without a kind")
		return
	case at < 1 || at == len(e.Recipient)-1 || len(e.Recipient) > maxAddress || hasControl(e.Recipient):
		p.Skip("%s without a recipient's address", e.Kind)
		return
	case e.Key == "" || len(e.Key) > maxID || hasControl(e.Key):
		p.Skip("%s without an id", e.Kind)
		return
	case e.ProviderID == "" && e.QueueID == "":
		p.Skip("%s without the id of a mail", e.Kind)
		return
	case len(e.ProviderID) > maxID || hasControl(e.ProviderID):
		p.Skip("%s with an id of a mail that is none", e.Kind)
		return
	}
	if len(e.QueueID) > 64 || hasControl(e.QueueID) {
		e.QueueID = ""
	}
	if e.At.After(p.now) {
		e.At = p.now
	}
	if e.At.Unix() <= 0 {
		e.At = time.Time{}
	}
	e.Words, e.Status, e.RemoteMTA = OneLine(e.Words), Status(e.Status), OneLine(e.RemoteMTA)
	p.Events = append(p.Events, e)
}

// Skip counts something that has no meaning here; the first one is told in words.
func (p *Page) Skip(format string, args ...any) {
	p.Skipped++
	p.Remark(format, args...)
}

// Remark tells the operator something, unless there is a remark already.
func (p *Page) Remark(format string, args ...any) {
	if p.Note == "" {
		p.Note = OneLine(fmt.Sprintf(format, args...))
	}
}

func hasControl(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
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

// Status returns an enhanced status code (RFC 3463), "" where it is none.
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

// Each hands the elements of a JSON list to read, or the value itself where it is an object; ok is false where it is
// neither. Elements beyond MaxEvents are counted.
func (p *Page) Each(raw []byte, read func(json.RawMessage) error) (ok bool) {
	raw = bytes.TrimSpace(raw)
	var list []json.RawMessage
	if bytes.HasPrefix(raw, []byte("{")) && json.Valid(raw) {
		list = []json.RawMessage{raw}
	} else if json.Unmarshal(raw, &list) != nil || !bytes.HasPrefix(raw, []byte("[")) {
		return false
	}
	for i, element := range list {
		if i >= upstream.MaxEvents {
			p.Skipped += len(list) - i
			p.Remark("more than %d events at once", upstream.MaxEvents)
			break
		}
		if err := read(element); err != nil {
			p.Skip("an event that cannot be read")
		}
	}
	return true
}

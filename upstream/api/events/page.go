package events

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"mailhatch/upstream"
)

// Bounds of what is believed of one event, in bytes.
const (
	maxWords   = 1000
	maxAddress = 320 // RFC 5321 4.5.3.1
	maxID      = 998
)

// Page collects the events of a request, and counts what is not one.
type Page struct {
	upstream.Batch
	now time.Time
}

// NewPage begins one; nothing in it happened later than now.
func NewPage(now time.Time) *Page { return &Page{now: now} }

// Add takes an event, or counts it where it has no recipient, no key, or impossible ids. A status that is missing is looked
// for in the words.
func (p *Page) Add(e upstream.Event) {
	e.Recipient = strings.TrimSpace(e.Recipient)
	if len(e.QueueID) > 64 || hasControl(e.QueueID) { // a tag of somebody else's
		e.QueueID = ""
	}
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
		p.Skip("%s with an impossible id of a mail", e.Kind)
		return
	}
	if e.At.After(p.now) {
		e.At = p.now
	}
	if e.At.Unix() <= 0 {
		e.At = time.Time{}
	}
	e.Status = cmp.Or(Status(e.Status), StatusIn(e.Words))
	e.Words, e.RemoteMTA = OneLine(e.Words), OneLine(e.RemoteMTA)
	p.Events = append(p.Events, e)
}

// KindOf returns what a provider's name for an event means, 0 for one that does not concern the fate of mail. Names that
// the table lacks are counted.
func (p *Page) KindOf(table map[string]upstream.EventKind, name Text) upstream.EventKind {
	kind, known := table[string(name)]
	if !known {
		p.Skip("an event %q", name)
	}
	return kind
}

// Skip counts something that has no meaning here; the first one is described in words.
func (p *Page) Skip(format string, args ...any) {
	p.Skipped++
	p.Remark(format, args...)
}

// Remark is a note to the operator; the first one stays.
func (p *Page) Remark(format string, args ...any) {
	if p.Note == "" {
		p.Note = OneLine(fmt.Sprintf(format, args...))
	}
}

func hasControl(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
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

// ReadAll hands the records of a log to read; those of the wrong form are counted.
func ReadAll[R any](p *Page, list []json.RawMessage, read func(*R, *Page)) {
	for _, raw := range list {
		if readOne(p, raw, read) != nil {
			p.Skip("an event that cannot be read")
		}
	}
}

// ReadWebhook reads the body of a genuine webhook request, which is a record or a list of records.
func ReadWebhook[R any](body []byte, read func(*R, *Page)) (upstream.Batch, error) {
	p := NewPage(time.Now())
	if !p.Each(body, func(raw json.RawMessage) error { return readOne(p, raw, read) }) {
		return upstream.Batch{}, upstream.ErrEvents
	}
	return p.Batch, nil
}

func readOne[R any](p *Page, raw json.RawMessage, read func(*R, *Page)) error {
	var r R
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	read(&r, p)
	return nil
}

// Package row is what the rows of a database hold, in every engine that has one: how messages, their parts and the
// history are written there and read back.
package row

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// The numbers that stand for states in the rows.
const (
	Queued = iota
	Held
	Failed
	Sent
	Discarded
	Refused
	Delivered
	Bounced
	Complained
)

// states are the states in the order of their numbers.
func states() [9]envelope.State {
	return [...]envelope.State{
		Queued: envelope.Queued, Held: envelope.Held, Failed: envelope.Failed,
		Sent: envelope.Sent, Discarded: envelope.Discarded, Refused: envelope.Refused,
		Delivered: envelope.Delivered, Bounced: envelope.Bounced, Complained: envelope.Complained,
	}
}

// Code returns the number of a state and reports whether it is one.
func Code(s envelope.State) (int64, bool) {
	for code, state := range states() {
		if s == state {
			return int64(code), true
		}
	}
	return 0, false
}

// State returns the state of a number; "" where it stands for none.
func State(code int64) envelope.State {
	if states := states(); code >= 0 && int(code) < len(states) {
		return states[code]
	}
	return ""
}

// MessageInfo is what a row of messages holds as JSON.
type MessageInfo struct {
	Envelope envelope.Envelope `json:"envelope"`
	Header   queue.Summary     `json:"header"`
}

// partInfo is what a row of parts holds as JSON; an empty text stands for its zero value.
type partInfo struct {
	To          []envelope.Recipient `json:"to,omitempty"` // nil: all recipients of the message
	Progress    envelope.Progress    `json:"progress,omitzero"`
	Interrupted bool                 `json:"interrupted,omitempty"`
}

// Part is a row of parts that is ready to be written.
type Part struct {
	State  int64
	Lane   string
	NextAt int64 // queued: when it is due; else: since when it is in that state. Milliseconds
	Size   int64
	Info   string
}

// newPart makes the row of a part of m.
func newPart(p *queue.Part, m *queue.Message, now time.Time) (row Part, err error) {
	row = Part{Lane: p.Lane, NextAt: now.UnixMilli(), Size: m.Size}
	row.State, _ = Code(p.State)
	if row.State == Queued && !p.NextAt.IsZero() {
		row.NextAt = p.NextAt.UnixMilli()
	}
	row.Info, err = PartText(p, m.Envelope.To)
	return row, err
}

// PartText is what the row of a part holds beside its columns; all are the recipients of its message.
func PartText(p *queue.Part, all []envelope.Recipient) (string, error) {
	info := partInfo{To: p.To, Progress: p.Progress, Interrupted: p.Interrupted}
	if sameRecipients(p.To, all) {
		info.To = nil
		if !info.Interrupted && reflect.ValueOf(&info.Progress).Elem().IsZero() {
			return "", nil
		}
	}
	text, err := json.Marshal(info)
	return string(text), err
}

// HeldAs adds to the text of a part who has put it on hold, as another text of it says.
func HeldAs(text, other string) (string, error) {
	var info, held partInfo
	for _, p := range []struct {
		text string
		into *partInfo
	}{{text, &info}, {other, &held}} {
		if p.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(p.text), p.into); err != nil {
			return "", err
		}
	}
	info.Progress.Hold = held.Progress.Hold
	out, err := json.Marshal(info)
	return string(out), err
}

func sameRecipients(a, b []envelope.Recipient) bool { return slices.EqualFunc(a, b, SameRecipient) }

// SameRecipient reports whether two recipients are equal in all that is stored of them.
func SameRecipient(a, b envelope.Recipient) bool {
	return a.Address == b.Address && a.Given == b.Given && a.ORcpt == b.ORcpt && slices.Equal(a.Notify, b.Notify)
}

// Without returns a part without some of its recipients.
func Without(p queue.Part, to []envelope.Recipient) queue.Part {
	p.To = slices.DeleteFunc(slices.Clone(p.To), func(r envelope.Recipient) bool {
		return slices.ContainsFunc(to, func(o envelope.Recipient) bool { return SameRecipient(r, o) })
	})
	return p
}

// recordInfo is what a row of history holds as JSON beside its columns.
type recordInfo struct {
	To         *envelope.Recipient `json:"to,omitempty"` // where it holds more than the address
	Upstream   string              `json:"upstream,omitempty"`
	ProviderID string              `json:"provider_id,omitempty"`
	Error      string              `json:"error,omitempty"`
	Attempts   int                 `json:"attempts,omitempty"`
	Header     queue.Summary       `json:"header,omitzero"`
	Size       int64               `json:"size"`
	Received   time.Time           `json:"received,omitzero"`
	Told       time.Time           `json:"told,omitzero"`
	Reported   bool                `json:"reported,omitempty"` // there is, or was, a late bounce
	Gateway    string              `json:"gateway,omitempty"`
}

// Record is a row of history that is ready to be written.
type Record struct {
	At, Message, State int64 // At in milliseconds
	Sender, Recipient  string
	Info               string
	Kept               []byte // of a message that went with this record; see package history

	texts *Texts // once they were read
}

func newRecord(r *queue.Record, message int64) (Record, error) {
	code, _ := Code(r.State)
	info := recordInfo{
		Upstream: r.Upstream, ProviderID: r.ProviderID, Error: r.Error, Attempts: r.Attempts,
		Header: r.Header, Size: r.Size, Received: r.Received, Gateway: r.Gateway,
		Told: r.Told, Reported: r.State == envelope.Bounced, // of what another store has had
	}
	if !SameRecipient(r.Recipient, envelope.Recipient{Address: r.Recipient.Address}) {
		info.To = &r.Recipient
	}
	text, err := json.Marshal(info)
	if err != nil {
		return Record{}, err
	}
	return Record{
		At: r.At.UnixMilli(), Message: message, State: code,
		Sender: r.From, Recipient: r.Recipient.Address, Info: string(text),
	}, nil
}

// Texts are what a record is searched by beside its columns.
type Texts struct {
	To struct {
		Given string `json:"given"`
	} `json:"to"`
	Upstream   string `json:"upstream"`
	ProviderID string `json:"provider_id"`
	Header     struct {
		MessageID string `json:"message_id"`
		Subject   string `json:"subject"`
	} `json:"header"`
}

// Texts reads these alone, once: no change of a row is one of them.
func (r *Record) Texts() (Texts, error) {
	if r.texts == nil {
		t := &Texts{}
		if err := json.Unmarshal([]byte(r.Info), t); err != nil {
			return Texts{}, fmt.Errorf("history of message %s: %w", queue.FormatID(r.Message), err)
		}
		r.texts = t
	}
	return *r.texts, nil
}

// providerKey stands before the provider's id in Info, and nowhere else: within a text its quotes have backslashes before them.
const providerKey = `"provider_id":`

// ProviderID reads that alone: lookups go through very many rows for it.
func (r *Record) ProviderID() (id string, err error) {
	_, rest, ok := strings.Cut(r.Info, providerKey)
	if !ok {
		return "", nil
	}
	rest = strings.TrimLeft(rest, " ")
	end := 1
	for end < len(rest) && rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	quoted := rest[:min(end+1, len(rest))]
	if !strings.Contains(quoted, `\`) && len(quoted) > 1 {
		return quoted[1 : len(quoted)-1], nil
	}
	if err := json.Unmarshal([]byte(quoted), &id); err != nil {
		return "", fmt.Errorf("history of message %s: %w", queue.FormatID(r.Message), err)
	}
	return id, nil
}

// Decode reads the row back.
func (r *Record) Decode() (queue.Record, error) {
	var info recordInfo
	if err := json.Unmarshal([]byte(r.Info), &info); err != nil {
		return queue.Record{}, fmt.Errorf("history of message %s: %w", queue.FormatID(r.Message), err)
	}
	rec := queue.Record{
		ID: queue.FormatID(r.Message), Recipient: envelope.Recipient{Address: r.Recipient}, State: State(r.State),
		At: time.UnixMilli(r.At), Upstream: info.Upstream, ProviderID: info.ProviderID, Error: info.Error,
		Attempts: info.Attempts, From: r.Sender, Header: info.Header, Size: info.Size, Received: info.Received, Told: info.Told, Gateway: info.Gateway,
	}
	if info.To != nil {
		rec.Recipient = *info.To
	}
	return rec, nil
}

// Tell makes the row say what was told of its recipient. report asks for a late bounce, of which a record has one at most.
func (r *Record) Tell(state envelope.State, at time.Time, words string, report bool) (reports bool, err error) {
	var info recordInfo
	if err := json.Unmarshal([]byte(r.Info), &info); err != nil {
		return false, fmt.Errorf("history of message %s: %w", queue.FormatID(r.Message), err)
	}
	reports = report && !info.Reported
	info.Told, info.Error, info.Reported = at, words, info.Reported || report
	r.State, _ = Code(state)
	text, err := json.Marshal(info)
	r.Info = string(text)
	return reports, err
}

// Message is a message with one or more of its parts as they were read.
type Message struct {
	ID, Size int64
	Info     string
	Parts    []StoredPart
}

// StoredPart is a row of parts as it was read.
type StoredPart struct {
	Part
	Key Key
}

// Key names a part.
type Key struct{ Message, N int64 }

// Decode decodes the row.
func (m *Message) Decode() (*queue.Message, error) {
	var info MessageInfo
	if err := json.Unmarshal([]byte(m.Info), &info); err != nil {
		return nil, fmt.Errorf("row of message %s: %w", queue.FormatID(m.ID), err)
	}
	msg := &queue.Message{ID: queue.FormatID(m.ID), Envelope: info.Envelope, Header: info.Header, Size: m.Size}
	for _, p := range m.Parts {
		part, err := p.decode(info.Envelope.To)
		if err != nil {
			return nil, fmt.Errorf("row of message %s, part %d: %w", msg.ID, p.Key.N, err)
		}
		msg.Parts = append(msg.Parts, part)
	}
	return msg, nil
}

// decode decodes the row; all are the recipients of its message.
func (p *StoredPart) decode(all []envelope.Recipient) (queue.Part, error) {
	var info partInfo
	if p.Info != "" {
		if err := json.Unmarshal([]byte(p.Info), &info); err != nil {
			return queue.Part{}, err
		}
	}
	part := queue.Part{To: info.To, Lane: p.Lane, State: State(p.State), Progress: info.Progress, Interrupted: info.Interrupted}
	if part.To == nil {
		part.To = all
	}
	if p.State == Queued {
		part.NextAt = time.UnixMilli(p.NextAt)
	}
	return part, nil
}

// Rows are rows that are to be written for a message.
type Rows struct {
	Parts   []Part
	Records []Record
}

// Make makes the rows of parts of m and of records, which it completes; hide takes out of them what is not to be kept.
func Make(now time.Time, m *queue.Message, id int64, parts []queue.Part, done []queue.Record, hide func(*queue.Record)) (*Rows, error) {
	r := &Rows{make([]Part, len(parts)), make([]Record, len(done))}
	for i := range parts {
		var err error
		if r.Parts[i], err = newPart(&parts[i], m, now); err != nil {
			return nil, err
		}
	}
	for i, rec := range done {
		rec.From, rec.Header, rec.Size = m.Envelope.From, m.Header, m.Size
		if rec.Received.IsZero() {
			rec.Received = m.Envelope.Received
		}
		if rec.At.IsZero() {
			rec.At = now
		}
		hide(&rec)
		var err error
		if r.Records[i], err = newRecord(&rec, id); err != nil {
			return nil, err
		}
	}
	return r, nil
}

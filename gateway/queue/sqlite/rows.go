package sqlite

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
)

// The numbers that stand for states in the rows.
const (
	codeQueued = iota
	codeHeld
	codeFailed
	codeSent
	codeDiscarded
)

// stateCodes are the states in the order of their numbers.
func stateCodes() [5]envelope.State {
	return [...]envelope.State{
		codeQueued: envelope.Queued, codeHeld: envelope.Held, codeFailed: envelope.Failed,
		codeSent: envelope.Sent, codeDiscarded: envelope.Discarded,
	}
}

func codeOf(s envelope.State) (int64, bool) {
	for code, state := range stateCodes() {
		if s == state {
			return int64(code), true
		}
	}
	return 0, false
}

func stateOf(code int64) envelope.State {
	if states := stateCodes(); code >= 0 && int(code) < len(states) {
		return states[code]
	}
	return ""
}

// messageInfo is what a row of messages holds as JSON.
type messageInfo struct {
	Envelope envelope.Envelope `json:"envelope"`
	Header   queue.Summary     `json:"header"`
}

// partInfo is what a row of parts holds as JSON; an empty text stands for its zero value.
type partInfo struct {
	To          []envelope.Recipient `json:"to,omitempty"` // nil: all recipients of the message
	Progress    envelope.Progress    `json:"progress,omitzero"`
	Interrupted bool                 `json:"interrupted,omitempty"`
}

// partRow is a row of parts that is ready to be written.
type partRow struct {
	state  int64
	lane   string
	nextAt int64 // queued: when it is due; else: since when it is in that state. Milliseconds
	size   int64
	info   string
}

// newPartRow makes the row of a part of m.
func newPartRow(p *queue.Part, m *queue.Message, now time.Time) (row partRow, err error) {
	row = partRow{lane: p.Lane, nextAt: now.UnixMilli(), size: m.Size}
	row.state, _ = codeOf(p.State)
	if row.state == codeQueued && !p.NextAt.IsZero() {
		row.nextAt = p.NextAt.UnixMilli()
	}
	row.info, err = partText(p, m.Envelope.To)
	return row, err
}

// partText is what the row of a part holds beside its columns; all are the recipients of its message.
func partText(p *queue.Part, all []envelope.Recipient) (string, error) {
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

func sameRecipients(a, b []envelope.Recipient) bool { return slices.EqualFunc(a, b, sameRecipient) }

func sameRecipient(a, b envelope.Recipient) bool {
	return a.Address == b.Address && a.Given == b.Given && a.ORcpt == b.ORcpt && slices.Equal(a.Notify, b.Notify)
}

// insert writes the row.
func (p *partRow) insert(t *tx, key partKey) error {
	err := database.Exec(t.conn, "INSERT INTO parts (message, n, state, lane, next_at, size, info) VALUES (?, ?, ?, ?, ?, ?, ?)",
		database.Args{key.message, key.n, p.state, p.lane, p.nextAt, p.size, p.info})
	if err != nil {
		return err
	}
	t.count(p.lane, p.state, p.size, 1)
	t.due = t.due || p.state == codeQueued
	return nil
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
}

// recordRow is a row of history that is ready to be written.
type recordRow struct {
	at, message, state int64
	sender, recipient  string
	info               string
}

func newRecordRow(r *queue.Record, message int64) (recordRow, error) {
	code, _ := codeOf(r.State)
	info := recordInfo{
		Upstream: r.Upstream, ProviderID: r.ProviderID, Error: r.Error, Attempts: r.Attempts,
		Header: r.Header, Size: r.Size, Received: r.Received,
	}
	if !sameRecipient(r.Recipient, envelope.Recipient{Address: r.Recipient.Address}) {
		info.To = &r.Recipient
	}
	text, err := json.Marshal(info)
	if err != nil {
		return recordRow{}, err
	}
	return recordRow{
		at: r.At.UnixMilli(), message: message, state: code,
		sender: r.From, recipient: r.Recipient.Address, info: string(text),
	}, nil
}

func (r *recordRow) insert(t *tx) error {
	return database.Exec(t.conn, "INSERT INTO history (at, message, state, sender, recipient, info) VALUES (?, ?, ?, ?, ?, ?)",
		database.Args{r.at, r.message, r.state, r.sender, r.recipient, r.info})
}

// record reads the row back.
func (r *recordRow) record() (queue.Record, error) {
	var info recordInfo
	if err := json.Unmarshal([]byte(r.info), &info); err != nil {
		return queue.Record{}, fmt.Errorf("history of message %s: %w", queue.FormatID(r.message), err)
	}
	rec := queue.Record{
		ID: queue.FormatID(r.message), Recipient: envelope.Recipient{Address: r.recipient}, State: stateOf(r.state),
		At: time.UnixMilli(r.at), Upstream: info.Upstream, ProviderID: info.ProviderID, Error: info.Error,
		Attempts: info.Attempts, From: r.sender, Header: info.Header, Size: info.Size, Received: info.Received,
	}
	if info.To != nil {
		rec.Recipient = *info.To
	}
	return rec, nil
}

// messageRow is a message with one or more of its parts as they were read.
type messageRow struct {
	id, size int64
	info     string
	parts    []storedPart
}

type storedPart struct {
	partRow
	key partKey
}

// partKey names a part.
type partKey struct{ message, n int64 }

// remove deletes the row of the part, which was in that state.
func (k partKey) remove(t *tx, lane string, state, size int64) error {
	t.count(lane, state, size, -1)
	return database.Exec(t.conn, "DELETE FROM parts WHERE message = ? AND n = ?", database.Args{k.message, k.n})
}

// scanPart reads the columns state, lane, next_at, size and info.
func scanPart(s *sqlite.Stmt, key partKey) storedPart {
	return storedPart{key: key, partRow: partRow{
		state: s.ColumnInt64(0), lane: s.ColumnText(1), nextAt: s.ColumnInt64(2), size: s.ColumnInt64(3), info: s.ColumnText(4),
	}}
}

// message decodes the row.
func (m *messageRow) message() (*queue.Message, error) {
	var info messageInfo
	if err := json.Unmarshal([]byte(m.info), &info); err != nil {
		return nil, fmt.Errorf("row of message %s: %w", queue.FormatID(m.id), err)
	}
	msg := &queue.Message{ID: queue.FormatID(m.id), Envelope: info.Envelope, Header: info.Header, Size: m.size}
	for _, p := range m.parts {
		part, err := p.part(info.Envelope.To)
		if err != nil {
			return nil, fmt.Errorf("row of message %s, part %d: %w", msg.ID, p.key.n, err)
		}
		msg.Parts = append(msg.Parts, part)
	}
	return msg, nil
}

// part decodes the row; all are the recipients of its message.
func (p *storedPart) part(all []envelope.Recipient) (queue.Part, error) {
	var info partInfo
	if p.info != "" {
		if err := json.Unmarshal([]byte(p.info), &info); err != nil {
			return queue.Part{}, err
		}
	}
	part := queue.Part{To: info.To, Lane: p.lane, State: stateOf(p.state), Progress: info.Progress, Interrupted: info.Interrupted}
	if part.To == nil {
		part.To = all
	}
	if p.state == codeQueued {
		part.NextAt = time.UnixMilli(p.nextAt)
	}
	return part, nil
}

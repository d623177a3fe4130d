package sqlite

import (
	"slices"
	"strings"
	"sync"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
)

const (
	freshBytes = 1 << 20         // that the memory of fresh mail holds, roughly
	freshExtra = 1 << 10         // of these for each message, beside its texts and its body
	freshFor   = 5 * time.Second // after which a full memory is emptied, as its mail is not claimed
)

// freshMail is a message with its only part, as the rows that are about to be committed give it back.
type freshMail struct {
	part    row.Part
	body    bodies.Stored
	info    string
	message *queue.Message
	bytes   int
}

// fresh remembers mail that was committed a moment ago until its first claim, which then need not read
// and decode the rows again. The package's comment explains why it is never wrong.
type fresh struct {
	mu    sync.Mutex
	mail  map[int64]*freshMail
	bytes int
	since time.Time // the first of mail
}

// room reports whether that many bytes can be remembered. When the claims are far behind it would be work
// for nothing.
func (f *fresh) room(bytes int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bytes+bytes > freshBytes && time.Since(f.since) > freshFor {
		f.clear()
	}
	return f.bytes+bytes <= freshBytes
}

// follow is called by the writer before it commits a group. Mail that comes is remembered before a claim
// can see its rows; before an operator's change everything is forgotten.
func (f *fresh) follow(group []*op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(group, func(o *op) bool { return !o.over && o.steers }) {
		f.clear()
		return
	}
	for _, o := range group {
		if o.over || o.fresh == nil || f.bytes+o.fresh.bytes > freshBytes {
			continue
		}
		if len(f.mail) == 0 {
			f.since = time.Now()
		}
		f.mail[o.fresh.body.ID] = o.fresh
		f.bytes += o.fresh.bytes
	}
}

// forget is called when a commit has failed.
func (f *fresh) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clear()
}

func (f *fresh) clear() {
	clear(f.mail)
	f.bytes = 0
}

// take returns the message of a part that is queued in a lane and due at a time, once; nil where it is not
// remembered.
func (f *fresh) take(key row.Key, lane string, nextAt int64) *freshMail {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.mail[key.Message]
	if m == nil {
		return nil
	}
	delete(f.mail, key.Message)
	f.bytes -= m.bytes
	if key.N != 1 || m.part.Lane != lane || m.part.NextAt != nextAt {
		return nil
	}
	return m
}

// fresh returns the message for its first claim, if it has one part with all of its recipients that is
// due at once and nothing is known of: what most mail is.
func (d *draft) fresh(m *queue.Message, info string, r *row.Rows) *freshMail {
	if len(r.Parts) != 1 || r.Parts[0].State != row.Queued || r.Parts[0].Info != "" || r.Parts[0].NextAt > d.store.now().UnixMilli() {
		return nil
	}
	if strings.Contains(info, `\ufffd`) { // a text that is not UTF-8: the row gives back another one
		return nil
	}
	f := &freshMail{part: r.Parts[0], body: bodies.Stored{ID: d.id, Size: d.size, CRC: d.crc, At: d.at}, info: info, bytes: 3*len(info) + freshExtra}
	if d.at == bodies.InRow {
		f.bytes += d.buf.Len()
	}
	if !d.store.fresh.room(f.bytes) {
		return nil
	}
	if d.at == bodies.InRow {
		f.body.Inline = slices.Clone(d.buf.Whole())
	}
	copied := *m
	f.message = &copied
	f.message.Envelope.Received = m.Envelope.Received.Round(0) // without the monotonic clock
	h := &m.Header                                             // its texts could keep a whole header in memory
	f.message.Header = queue.Summary{MessageID: strings.Clone(h.MessageID), From: strings.Clone(h.From), Subject: strings.Clone(h.Subject)}
	f.message.Parts = []queue.Part{{To: m.Envelope.To, Lane: f.part.Lane, State: envelope.Queued, NextAt: time.UnixMilli(f.part.NextAt)}}
	return f
}

package sqlite

import (
	"container/list"
	"slices"
	"strings"
	"sync"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

const (
	freshBytes = 1 << 20         // that the memory of fresh mail holds, roughly
	freshExtra = 1 << 10         // of these for each message, beside its texts and its body
	freshFor   = 5 * time.Second // after which a message gives way to another
)

// freshMail is a message with its only part, as the rows that are about to be committed give it back.
type freshMail struct {
	part    partRow
	body    storedBody
	message *queue.Message
	bytes   int
	since   time.Time
}

// fresh remembers mail that was committed a moment ago until its first claim, which then need not read
// and decode the rows again. The package's comment says why it is never wrong.
type fresh struct {
	mu    sync.Mutex
	bytes int
	mail  map[int64]*list.Element
	order list.List // of *freshMail, the oldest first
}

// room says whether that many bytes can be remembered. When the claims are far behind it would be work
// for nothing.
func (f *fresh) room(bytes int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.makeRoom(bytes)
}

// makeRoom forgets what is old, where that helps. f.mu is held.
func (f *fresh) makeRoom(bytes int) bool {
	for f.bytes+bytes > freshBytes {
		oldest := f.order.Front()
		if oldest == nil || time.Since(oldest.Value.(*freshMail).since) < freshFor {
			return false
		}
		f.remove(oldest)
	}
	return true
}

// follow is told by the writer what it is about to commit. Mail that comes is remembered before a claim
// can see its rows; before any other change than the end of a lease everything is forgotten.
func (f *fresh) follow(group []*op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(group, func(o *op) bool { return !o.over && !o.spares }) {
		f.clear()
		return
	}
	for _, o := range group {
		if !o.over && o.fresh != nil {
			f.add(o.fresh)
		}
	}
}

// forget is told when a commit has failed.
func (f *fresh) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clear()
}

func (f *fresh) clear() {
	clear(f.mail)
	f.order.Init()
	f.bytes = 0
}

func (f *fresh) add(m *freshMail) {
	if f.makeRoom(m.bytes) {
		f.mail[m.body.id] = f.order.PushBack(m)
		f.bytes += m.bytes
	}
}

func (f *fresh) remove(e *list.Element) *freshMail {
	m := f.order.Remove(e).(*freshMail)
	delete(f.mail, m.body.id)
	f.bytes -= m.bytes
	return m
}

// take gives the message of a part that is queued in a lane and due at a time, once.
func (f *fresh) take(key partKey, lane string, nextAt int64) *freshMail {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.mail[key.message]
	if e == nil {
		return nil
	}
	m := f.remove(e)
	if key.n != 1 || m.part.lane != lane || m.part.nextAt != nextAt {
		return nil
	}
	return m
}

// fresh gives the message for its first claim, if it has one part with all of its recipients that is
// due at once and nothing is known of: what most mail is.
func (d *draft) fresh(m *queue.Accepted, r *newRows) *freshMail {
	if len(r.parts) != 1 || r.parts[0].state != codeQueued || r.parts[0].info != "" || r.parts[0].nextAt > time.Now().UnixMilli() {
		return nil
	}
	// Where a text is not UTF-8, the row gives back another one.
	if strings.Contains(r.info, `\ufffd`) {
		return nil
	}
	bytes := 2*len(r.info) + freshExtra
	if d.at == inRow {
		bytes += d.buf.size
	}
	if !d.store.fresh.room(bytes) {
		return nil
	}
	body := storedBody{id: d.id, size: d.size, crc: d.crc, at: d.at}
	if d.at == inRow {
		body.inline = slices.Clone(d.buf.whole())
	}
	var own texts
	own.Grow(len(r.info))
	part := r.parts[0]
	part.lane = own.text(part.lane)
	message := &queue.Message{ID: d.ID(), Envelope: own.envelope(m.Envelope), Header: own.summary(m.Header), Size: d.size}
	message.Parts = []queue.Part{{To: message.Envelope.To, Lane: part.lane, State: envelope.Queued, NextAt: time.UnixMilli(part.nextAt)}}
	return &freshMail{part: part, body: body, message: message, bytes: bytes, since: time.Now()}
}

// texts copies what a caller could change and what could keep more in memory than itself, all into
// one piece of memory.
type texts struct{ strings.Builder }

func (t *texts) text(s string) string {
	start := t.Len()
	t.WriteString(s)
	return t.String()[start:]
}

func (t *texts) envelope(e envelope.Envelope) envelope.Envelope {
	e.From, e.Ret, e.EnvID, e.Body = t.text(e.From), t.text(e.Ret), t.text(e.EnvID), t.text(e.Body)
	e.Received = e.Received.Round(0) // without the reading of the monotonic clock
	c := &e.Client
	c.Helo, c.Protocol, c.User, c.Listener, c.TLS = t.text(c.Helo), t.text(c.Protocol), t.text(c.User), t.text(c.Listener), t.text(c.TLS)
	e.To = slices.Clone(e.To)
	for i := range e.To {
		to := &e.To[i]
		to.Address, to.Given, to.ORcpt = t.text(to.Address), t.text(to.Given), t.text(to.ORcpt)
		to.Notify = slices.Clone(to.Notify)
		for j := range to.Notify {
			to.Notify[j] = t.text(to.Notify[j])
		}
	}
	return e
}

func (t *texts) summary(s queue.Summary) queue.Summary {
	return queue.Summary{MessageID: t.text(s.MessageID), From: t.text(s.From), Subject: t.text(s.Subject)}
}

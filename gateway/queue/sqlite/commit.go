package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"
	"unicode/utf8"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// Commit stores the message: first the bytes that are not for its row, then the row that names them. The
// error wraps queue.ErrFull, queue.ErrBroken or queue.ErrClosed where it is one of them.
func (d *draft) Commit(ctx context.Context, m queue.Accepted) error {
	if d.over {
		return errors.New("queue: commit of a draft that is over")
	}
	err := d.commit(ctx, m)
	if err == nil && len(m.Parts) > 0 || errors.Is(err, queue.ErrBroken) {
		// A row that a failed fsync has left behind may be there after all when the store is opened
		// again, and then it needs its file.
		d.over = true
		d.recycle()
		if d.file != nil {
			d.file.Close()
		}
		return err
	}
	_ = d.Discard()
	return err
}

func (d *draft) commit(ctx context.Context, m queue.Accepted) error {
	s := d.store
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.err(); err != nil {
		return err
	}
	rows, err := d.rows(&m)
	if err != nil {
		return err
	}
	run := func(t *tx) error { return d.insert(t, rows) }
	if len(m.Parts) == 0 { // what became of mail may take of the reserve
		return s.do(ctx, &op{run: run})
	}
	if err := s.admit(d.buf.size); err != nil {
		return err
	}
	o := &op{run: run, mail: true}
	switch {
	case d.file != nil:
		d.at = inFile
		err = d.settle()
	case d.size > inlineLimit:
		var seg *segment
		if seg, d.at, err = s.segments.reserve(d.size); err != nil {
			return describeFile(err)
		}
		defer s.segments.release(seg)
		err = d.append(seg)
	default:
		o.bytes = int(d.size)
	}
	if err != nil {
		return err
	}
	o.fresh = d.fresh(&m, rows)
	return s.do(ctx, o)
}

// append puts the body on stable storage in the segment.
func (d *draft) append(seg *segment) error {
	if err := d.writeAt(seg.file, d.at.offset()); err != nil {
		return describeFile(err)
	}
	if err := seg.sync(); err != nil {
		d.store.segments.retire(seg)
		return d.store.synced(err)
	}
	return nil
}

// settle puts the file on stable storage.
func (d *draft) settle() error {
	if err := d.flush(); err != nil {
		return err
	}
	err := syncData(d.file)
	if err == nil {
		err = syncDir(filepath.Join(d.store.dir, bodiesDir))
	}
	return d.store.synced(err)
}

// synced judges the error of an fsync: a failed one leaves unknown what later ones are worth.
func (s *Store) synced(err error) error {
	if err == nil {
		return nil
	}
	if described := describeFile(err); errors.Is(described, queue.ErrFull) {
		return described
	}
	s.fail(err)
	return s.err()
}

// newRows are the rows of a message that is to be stored.
type newRows struct {
	received int64
	info     string
	parts    []partRow
	records  []recordRow
}

func (d *draft) rows(m *queue.Accepted) (*newRows, error) {
	now := time.Now()
	if len(m.Parts)+len(m.Done) == 0 {
		return nil, errors.New("queue: a message needs at least one part")
	}
	if err := checkUTF8(m); err != nil {
		return nil, err
	}
	info, err := json.Marshal(messageInfo{m.Envelope, m.Header})
	if err != nil {
		return nil, err
	}
	r := &newRows{received: now.UnixMilli(), info: string(info), parts: make([]partRow, len(m.Parts))}
	if !m.Envelope.Received.IsZero() {
		r.received = m.Envelope.Received.UnixMilli()
	}
	for i, p := range m.Parts {
		if r.parts[i], err = newPartRow(p, m.Envelope.To, d.size, now); err != nil {
			return nil, err
		}
	}
	r.records, err = recordRows(m.Done, &queue.Message{Envelope: m.Envelope, Header: m.Header, Size: d.size}, d.id, now)
	return r, err
}

// insert runs in the writer.
func (d *draft) insert(t *tx, r *newRows) error {
	for i := range r.records {
		if err := r.records[i].insert(t); err != nil {
			return err
		}
	}
	if len(r.parts) == 0 {
		return nil
	}
	if err := d.insertMessage(t, r.received, r.info); err != nil {
		return err
	}
	for i := range r.parts {
		if err := r.parts[i].insert(t, partKey{d.id, int64(i) + 1}); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) insertMessage(t *tx, received int64, info string) error {
	if d.at.inSegment() {
		t.inSegment(d.at, d.size, 1)
	}
	return exec(t.conn, "INSERT INTO messages (id, received, size, crc, info, body) VALUES (?, ?, ?, ?, ?, ?)",
		func(s *sqlite.Stmt) {
			s.BindInt64(1, d.id)
			s.BindInt64(2, received)
			s.BindInt64(3, d.size)
			s.BindInt64(4, int64(d.crc))
			s.BindText(5, info)
			switch {
			case d.at == inRow:
				s.BindBytes(6, d.buf.whole())
			case d.at.inSegment():
				s.BindInt64(6, int64(d.at))
			}
		})
}

// checkUTF8 refuses addresses that JSON could not give back as they were.
func checkUTF8(m *queue.Accepted) error {
	if !utf8.ValidString(m.Envelope.From) {
		return fmt.Errorf("queue: sender %q is not valid UTF-8", m.Envelope.From)
	}
	for _, p := range m.Parts {
		if err := checkAddresses(p.To); err != nil {
			return err
		}
	}
	for _, r := range m.Done {
		if err := checkAddresses([]envelope.Recipient{r.Recipient}); err != nil {
			return err
		}
	}
	return checkAddresses(m.Envelope.To)
}

func checkAddresses(to []envelope.Recipient) error {
	for _, r := range to {
		if !utf8.ValidString(r.Address) {
			return fmt.Errorf("queue: recipient %q is not valid UTF-8", r.Address)
		}
	}
	return nil
}

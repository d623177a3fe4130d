package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
)

// Finish records what became of the part: its row goes, records and parts that still wait come in the
// same transaction, and the message goes with its last part. A part that was put on hold in the
// meantime stays on hold if it still waits.
func (l *lease) Finish(ctx context.Context, r queue.Result) error {
	s := l.store
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	run, err := l.result(r)
	if err != nil {
		return err
	}
	if err := l.settling(); err != nil {
		return err
	}
	left := inRow // where a body is that is not needed any more
	o := &op{bytes: len(l.part.info)}
	o.run = func(t *tx) error { return run(t, &left) }
	err = s.do(ctx, o)
	l.settled(err)
	if err == nil && left == inFile {
		s.removeBody(l.key.message)
	}
	return err
}

// settling makes sure that no one takes the lease over while its result is on the way.
func (l *lease) settling() error {
	t := &l.store.leases
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[l.key] != l || l.finishing {
		return l.fenced()
	}
	l.finishing = true
	return nil
}

// settled ends the lease, or opens it again after an error that may pass.
func (l *lease) settled(err error) {
	t := &l.store.leases
	t.mu.Lock()
	defer t.mu.Unlock()
	l.finishing = false
	if (err == nil || errors.Is(err, queue.ErrFenced)) && t.held[l.key] == l {
		delete(t.held, l.key)
	}
}

// result prepares the op of Finish.
func (l *lease) result(r queue.Result) (func(t *tx, left *bodyPlace) error, error) {
	if err := l.checkComplete(r); err != nil {
		return nil, err
	}
	now := time.Now()
	m := l.message
	records, err := recordRows(r.Done, m, l.key.message, now)
	if err != nil {
		return nil, err
	}
	parts := make([]partRow, len(r.Parts))
	for i, p := range r.Parts {
		var err error
		if parts[i], err = newPartRow(p, m.Envelope.To, l.part.size, now); err != nil {
			return nil, err
		}
	}
	return func(t *tx, left *bodyPlace) error { return l.finish(t, records, parts, left) }, nil
}

// recordRows completes records by their message.
func recordRows(done []queue.Record, m *queue.Message, id int64, now time.Time) ([]recordRow, error) {
	records := make([]recordRow, len(done))
	for i, rec := range done {
		rec.From, rec.Header, rec.Size = m.Envelope.From, m.Header, m.Size
		if rec.Received.IsZero() {
			rec.Received = m.Envelope.Received
		}
		if rec.At.IsZero() {
			rec.At = now
		}
		var err error
		if records[i], err = newRecordRow(rec, id); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// finish runs in the writer.
func (l *lease) finish(t *tx, records []recordRow, parts []partRow, left *bodyPlace) error {
	state, lane, err := l.takePart(t)
	if err != nil {
		return err
	}
	for i := range records {
		if err := records[i].insert(t); err != nil {
			return err
		}
	}
	if len(parts) == 0 {
		_, *left, err = removeMessage(t, l.key.message, l.body.at == inRow)
		return err
	}
	n, err := lastPart(t, l.key)
	if err != nil {
		return err
	}
	for i, p := range parts {
		if p.state == codeQueued {
			p.state = state
		}
		if p.lane == l.part.lane {
			p.lane = lane
		}
		if err := p.insert(t, partKey{l.key.message, n + int64(i) + 1}); err != nil {
			return err
		}
	}
	return nil
}

const takeQuery = "DELETE FROM parts WHERE message = ? AND n = ? AND state = ? AND lane = ?"

// takePart deletes the row of the leased part. It returns the state and the lane that an operator may have
// changed meanwhile.
func (l *lease) takePart(t *tx) (state int64, lane string, err error) {
	err = exec(t.conn, takeQuery, func(s *sqlite.Stmt) {
		s.BindInt64(1, l.key.message)
		s.BindInt64(2, l.key.n)
		s.BindInt64(3, codeQueued)
		s.BindText(4, l.part.lane)
	})
	if err != nil {
		return 0, "", err
	}
	if t.conn.Changes() == 1 {
		t.count(l.part.lane, codeQueued, l.part.size, -1)
		return codeQueued, l.part.lane, nil
	}
	state = -1
	err = rows(t.conn, "SELECT state, lane FROM parts WHERE message = ? AND n = ?",
		func(s *sqlite.Stmt) {
			s.BindInt64(1, l.key.message)
			s.BindInt64(2, l.key.n)
		},
		func(s *sqlite.Stmt) (bool, error) {
			state, lane = s.ColumnInt64(0), s.ColumnText(1)
			return false, nil
		})
	if err != nil {
		return 0, "", err
	}
	if state != codeQueued && state != codeHeld {
		return 0, "", l.fenced()
	}
	return state, lane, l.key.remove(t, lane, state, l.part.size)
}

// lastPart returns the highest number of the message's parts, the one of key among them.
func lastPart(t *tx, key partKey) (n int64, err error) {
	n = key.n
	err = rows(t.conn, "SELECT max(n) FROM parts WHERE message = ?",
		func(s *sqlite.Stmt) { s.BindInt64(1, key.message) },
		func(s *sqlite.Stmt) (bool, error) {
			n = max(n, s.ColumnInt64(0))
			return false, nil
		})
	return n, err
}

const removeQuery = "DELETE FROM messages WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM parts WHERE message = ?1)"

// removeMessage deletes the row of a message that has no parts left, and returns where its body was. A
// body that is known to be in the row stays there for good; others may have moved.
func removeMessage(t *tx, id int64, knownInRow bool) (gone bool, at bodyPlace, err error) {
	size := int64(0)
	if !knownInRow {
		if at, size, err = whereIs(t.conn, id); err != nil {
			return false, inRow, err
		}
	}
	err = exec(t.conn, removeQuery,
		func(s *sqlite.Stmt) { s.BindInt64(1, id) })
	if err != nil || t.conn.Changes() == 0 {
		return false, inRow, err
	}
	if at.inSegment() {
		t.inSegment(at, size, -1)
	}
	return true, at, nil
}

// checkComplete refuses a result that forgets a recipient or has one twice: the first would lose
// mail, the second double it.
func (l *lease) checkComplete(r queue.Result) error {
	open := map[string]int{}
	for _, to := range l.message.Parts[0].To {
		open[to.Address]++
	}
	for _, rec := range r.Done {
		open[rec.Recipient.Address]--
	}
	for _, p := range r.Parts {
		for _, to := range p.To {
			open[to.Address]--
		}
	}
	for address, n := range open {
		if n != 0 {
			return fmt.Errorf("queue: message %s: the result does not say once what became of %s", formatID(l.key.message), address)
		}
	}
	return nil
}

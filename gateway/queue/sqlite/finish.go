package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/history"
	"mailhatch/gateway/queue/sqlite/ledger"
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
	if err := r.Check(&l.message.Parts[0]); err != nil {
		return fmt.Errorf("message %s: %w", l.message.ID, err)
	}
	rows, err := row.Make(s.now(), l.message, l.key.Message, r.Parts, r.Done, s.Veil.Record)
	if err != nil {
		return err
	}
	var beginning []byte
	keep := len(r.Parts) == 0 && !s.BodiesStay() && s.space.Check(0) == nil // what is left of the disk is for delivery
	if keep {
		beginning = history.Beginning(s.dir, &l.body)
	}
	// No one takes the lease over while its result is on the way.
	if err := l.change(false, func(*leases) { l.finishing = true }); err != nil {
		return err
	}
	left := bodies.InRow // where a body is that is not needed any more
	err = s.do(ctx, &op{result: true, bytes: len(l.part.Info) + len(l.info) + len(beginning)/2, run: func(t *tx) (err error) {
		if left, err = l.finish(t, rows, keep, beginning); err == nil {
			err = s.AddEvents(t.conn, t.now, l.key.Message, r.Events)
		}
		if err != nil || r.Quota.IsEmpty() {
			return err
		}
		return ledger.Settle(t.conn, l.key.Message, &r.Quota)
	}})
	_ = l.change(true, func(t *leases) {
		l.finishing = false
		if err == nil || errors.Is(err, queue.ErrFenced) {
			delete(t.held, l.key)
		}
	})
	if err == nil && left == bodies.InFile {
		s.removeBody(l.key.Message)
	}
	if err == nil && len(r.Parts) == 0 && s.BodiesStay() {
		s.Left()
	}
	return err
}

// finish runs in the writer. It returns where a body is that is not needed any more.
func (l *lease) finish(t *tx, r *row.Rows, keep bool, beginning []byte) (left bodies.Place, err error) {
	state, lane, info, err := l.takePart(t)
	if err != nil {
		return bodies.InRow, err
	}
	changed := row.Rows{Parts: slices.Clone(r.Parts), Records: r.Records}
	for i := range changed.Parts {
		p := &changed.Parts[i]
		if p.State == row.Queued && state == row.Held {
			p.State = state
			if p.Info, err = row.HeldAs(p.Info, info); err != nil {
				return bodies.InRow, err
			}
		}
		if p.Lane == l.part.Lane {
			p.Lane = lane
		}
	}
	if len(r.Parts) == 0 && len(r.Records) > 0 && !l.store.BodiesStay() { // else its row stays until it is put away
		var gone bool
		gone, left, err = removeMessage(t, l.key.Message, l.body.At == bodies.InRow)
		if err != nil {
			return bodies.InRow, err
		}
		if changed.Records[0].Kept = nil; gone && keep {
			changed.Records[0].Kept = l.store.Kept([]byte(l.info), beginning)
		}
	}
	return left, t.insertRows(&changed, l.key.Message, l.store.ids.Next)
}

const takeQuery = "DELETE FROM parts WHERE message = ? AND n = ? AND state = ? AND lane = ?"

// takePart deletes the row of the leased part. It returns the state and the lane that an operator may have
// changed meanwhile, and then what the row holds.
func (l *lease) takePart(t *tx) (state int64, lane, info string, err error) {
	err = database.Exec(t.conn, takeQuery, database.Args{l.key.Message, l.key.N, row.Queued, l.part.Lane})
	if err != nil {
		return 0, "", "", err
	}
	if t.conn.Changes() == 1 {
		t.depth.Count(l.part.Lane, row.Queued, l.part.Size, -1)
		return row.Queued, l.part.Lane, "", nil
	}
	state = -1
	err = database.Rows(t.conn, "SELECT state, lane, info FROM parts WHERE message = ? AND n = ?",
		database.Args{l.key.Message, l.key.N},
		func(s *sqlite.Stmt) (bool, error) {
			state, lane, info = s.ColumnInt64(0), s.ColumnText(1), s.ColumnText(2)
			return false, nil
		})
	if err != nil {
		return 0, "", "", err
	}
	if state != row.Queued && state != row.Held {
		return 0, "", "", l.fenced()
	}
	return state, lane, info, t.removePart(l.key, lane, state, l.part.Size)
}

const removeQuery = "DELETE FROM messages WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM parts WHERE message = ?1)"

// removeMessage deletes the row of a message that has no parts left, and returns where its body was. A
// body that is known to be in the row stays there for good; others may have moved.
func removeMessage(t *tx, id int64, knownInRow bool) (gone bool, at bodies.Place, err error) {
	size := int64(0)
	if !knownInRow {
		if at, size, _, err = whereIs(t.conn, id); err != nil {
			return false, bodies.InRow, err
		}
	}
	err = database.Exec(t.conn, removeQuery,
		database.Args{id})
	if err != nil || t.conn.Changes() == 0 {
		return false, bodies.InRow, err
	}
	if at.InSegment() {
		t.inSegment(at, size, -1)
	}
	return true, at, nil
}

// putAway replaces the row of a message that has ended by what is kept of it. gone is false if it has not ended after all.
func (t *tx) putAway(e *history.Ended) (gone bool, err error) {
	if gone, e.At, err = removeMessage(t, e.ID, false); gone {
		err = history.Put(t.conn, e)
	}
	return gone, err
}

// drop implements history.Access.
func (s *Store) drop(ctx context.Context, ended []*history.Ended, change func(*sqlite.Conn) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	var gone []*history.Ended
	err := s.do(ctx, &op{bytes: len(ended) * rowBytes, run: func(t *tx) error {
		gone = gone[:0]
		for _, e := range ended {
			ok, err := t.putAway(e)
			if err != nil {
				return err
			}
			if ok {
				gone = append(gone, e)
			}
		}
		return change(t.conn)
	}})
	if err == nil {
		s.removeBodies(gone)
	}
	return err
}

// removeBodies removes the files of messages that were put away.
func (s *Store) removeBodies(gone []*history.Ended) {
	for _, e := range gone {
		if e.At == bodies.InFile {
			s.removeBody(e.ID)
		}
	}
}

// record makes a change of the ledger or the history with so many rows.
func (s *Store) record(ctx context.Context, rows int, run func(*sqlite.Conn) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.do(ctx, &op{bytes: rows * rowBytes, run: func(t *tx) error { return run(t.conn) }})
}

// pause makes a change of the pauses.
func (s *Store) pause(ctx context.Context, run func(*sqlite.Conn) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.do(ctx, &op{bytes: rowBytes, run: func(t *tx) error {
		t.due = true
		return run(t.conn)
	}})
}

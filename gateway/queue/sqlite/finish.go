package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
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
	rows, err := makeRows(s.now(), l.message, l.key.message, r.Parts, r.Done)
	if err != nil {
		return err
	}
	// No one takes the lease over while its result is on the way.
	if err := l.change(false, func(*leases) { l.finishing = true }); err != nil {
		return err
	}
	left := bodies.InRow // where a body is that is not needed any more
	err = s.do(ctx, &op{bytes: len(l.part.info), run: func(t *tx) (err error) {
		left, err = l.finish(t, rows)
		return err
	}})
	_ = l.change(true, func(t *leases) {
		l.finishing = false
		if err == nil || errors.Is(err, queue.ErrFenced) {
			delete(t.held, l.key)
		}
	})
	if err == nil && left == bodies.InFile {
		s.removeBody(l.key.message)
	}
	return err
}

// finish runs in the writer. It returns where a body is that is not needed any more.
func (l *lease) finish(t *tx, r *newRows) (left bodies.Place, err error) {
	state, lane, err := l.takePart(t)
	if err != nil {
		return bodies.InRow, err
	}
	changed := newRows{slices.Clone(r.parts), r.records}
	for i := range changed.parts {
		p := &changed.parts[i]
		if p.state == codeQueued {
			p.state = state
		}
		if p.lane == l.part.lane {
			p.lane = lane
		}
	}
	if err := changed.insert(t, l.key.message, l.store.ids.Next); err != nil || len(r.parts) > 0 {
		return bodies.InRow, err
	}
	_, left, err = removeMessage(t, l.key.message, l.body.At == bodies.InRow)
	return left, err
}

const takeQuery = "DELETE FROM parts WHERE message = ? AND n = ? AND state = ? AND lane = ?"

// takePart deletes the row of the leased part. It returns the state and the lane that an operator may have
// changed meanwhile.
func (l *lease) takePart(t *tx) (state int64, lane string, err error) {
	err = database.Exec(t.conn, takeQuery, database.Args{l.key.message, l.key.n, codeQueued, l.part.lane})
	if err != nil {
		return 0, "", err
	}
	if t.conn.Changes() == 1 {
		t.count(l.part.lane, codeQueued, l.part.size, -1)
		return codeQueued, l.part.lane, nil
	}
	state = -1
	err = database.Rows(t.conn, "SELECT state, lane FROM parts WHERE message = ? AND n = ?",
		database.Args{l.key.message, l.key.n},
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

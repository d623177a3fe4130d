package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// idsPerOp and partsPerOp keep the operator's changes so small that mail does not wait for them.
const (
	idsPerOp   = 128
	partsPerOp = 512
)

// Retry makes queued and failed parts due now with a new life. What delivery knows of an uncertain
// outcome stays, for it forbids another upstream.
func (s *Store) Retry(ctx context.Context, ids ...string) (int, error) {
	return s.change(ctx, ids, func(t *tx, id int64, p *storedPart) (bool, error) {
		if p.state == codeHeld {
			return false, nil
		}
		return true, p.requeue(t, id, newLife)
	})
}

// requeue makes the part due now with a changed progress.
func (p *storedPart) requeue(t *tx, id int64, change func(envelope.Progress) envelope.Progress) error {
	var info partInfo
	if p.info != "" {
		if err := json.Unmarshal([]byte(p.info), &info); err != nil {
			return fmt.Errorf("row of message %s, part %d: %w", formatID(id), p.n, err)
		}
	}
	info.Progress = change(info.Progress)
	text, err := info.text()
	if err != nil {
		return err
	}
	return p.update(t, id, codeQueued, text)
}

// newLife is the progress of a part that starts again.
func newLife(p envelope.Progress) envelope.Progress {
	life := envelope.Progress{Renewed: time.Now(), Released: p.Released}
	if p.Uncertain {
		life.Uncertain, life.Upstream, life.Since, life.Passed = true, p.Upstream, p.Since, p.Passed
	}
	return life
}

// released is the progress of a part that rules may not hold again.
func released(p envelope.Progress) envelope.Progress {
	p.Released = true
	return p
}

// Hold puts queued parts on hold, those of running attempts too if they come back.
func (s *Store) Hold(ctx context.Context, ids ...string) (int, error) {
	return s.change(ctx, ids, func(t *tx, id int64, p *storedPart) (bool, error) {
		if p.state != codeQueued {
			return false, nil
		}
		return true, p.update(t, id, codeHeld, p.info)
	})
}

// Release makes held parts due now.
func (s *Store) Release(ctx context.Context, ids ...string) (int, error) {
	return s.change(ctx, ids, func(t *tx, id int64, p *storedPart) (bool, error) {
		if p.state != codeHeld {
			return false, nil
		}
		return true, p.requeue(t, id, released)
	})
}

// update moves the part to a state as of now.
func (p *storedPart) update(t *tx, message int64, state int64, info string) error {
	err := exec(t.conn, "UPDATE parts SET state = ?, next_at = ?, info = ? WHERE message = ? AND n = ?", func(s *sqlite.Stmt) {
		s.BindInt64(1, state)
		s.BindInt64(2, time.Now().UnixMilli())
		s.BindText(3, info)
		s.BindInt64(4, message)
		s.BindInt64(5, p.n)
	})
	if err != nil {
		return err
	}
	t.move(p.lane, p.state, p.size, -1)
	t.move(p.lane, state, p.size, 1)
	t.due = t.due || state == codeQueued
	return nil
}

// change calls f in the writer for each part of the messages that there are, and counts the messages
// with a part that f has changed.
func (s *Store) change(ctx context.Context, ids []string, f func(*tx, int64, *storedPart) (bool, error)) (int, error) {
	return s.each(ctx, ids, func(t *tx, id int64) (bool, error) {
		parts, err := readParts(t.conn, id)
		if err != nil {
			return false, err
		}
		any := false
		for i := range parts {
			changed, err := f(t, id, &parts[i])
			if err != nil {
				return false, err
			}
			any = any || changed
		}
		return any, nil
	}, nil)
}

// each calls f in the writer for the messages, some in each op, and after each commit done with those
// that f has changed. It says how many they were.
func (s *Store) each(ctx context.Context, ids []string, f func(*tx, int64) (bool, error), done func(map[int64]bool)) (int, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	total := 0
	for len(ids) > 0 {
		some := ids[:min(len(ids), idsPerOp)]
		ids = ids[len(some):]
		var changed map[int64]bool
		err := s.do(ctx, &op{bytes: len(some) * rowBytes, run: func(t *tx) (err error) {
			changed, err = visit(t, some, f)
			return err
		}})
		if err != nil {
			return total, err
		}
		total += len(changed)
		if done != nil {
			done(changed)
		}
	}
	return total, nil
}

func visit(t *tx, ids []string, f func(*tx, int64) (bool, error)) (map[int64]bool, error) {
	changed := map[int64]bool{}
	for _, text := range ids {
		id, ok := parseID(text)
		if !ok || changed[id] {
			continue
		}
		c, err := f(t, id)
		if err != nil {
			return nil, err
		}
		if c {
			changed[id] = true
		}
	}
	return changed, nil
}

// readParts reads the parts of a message.
func readParts(conn *sqlite.Conn, id int64) (parts []storedPart, err error) {
	err = rows(conn, "SELECT state, lane, next_at, size, info, n FROM parts WHERE message = ? ORDER BY n",
		func(s *sqlite.Stmt) { s.BindInt64(1, id) },
		func(s *sqlite.Stmt) (bool, error) {
			parts = append(parts, scanPart(s, 0, s.ColumnInt64(5)))
			return true, nil
		})
	return parts, err
}

// Delete removes messages and leaves a discarded entry in the history for each of their recipients.
func (s *Store) Delete(ctx context.Context, ids ...string) (int, error) {
	return s.each(ctx, ids, func(t *tx, id int64) (bool, error) {
		any, _, err := discard(t, id, envelope.Discarded, func(*storedPart) bool { return true })
		return any, err
	}, func(changed map[int64]bool) {
		s.leases.drop(changed)
		for id := range changed {
			s.removeBody(id)
		}
	})
}

// discard removes the chosen parts of a message, leaves records of their recipients, and removes the
// message if no part is left. any says whether there was a part to remove, gone whether the message
// was.
func discard(t *tx, id int64, state envelope.State, chosen func(*storedPart) bool) (any, gone bool, err error) {
	row, ok, err := readMessage(t.conn, id)
	if err != nil || !ok {
		return false, false, err
	}
	m, err := row.message()
	if err != nil {
		return false, false, err
	}
	for i := range row.parts {
		p := &row.parts[i]
		if !chosen(p) {
			continue
		}
		any = true
		if err := p.discard(t, m, &m.Parts[i], id, state); err != nil {
			return false, false, err
		}
	}
	if any {
		gone, _, err = removeMessage(t, id, false)
	}
	return any, gone, err
}

func (p *storedPart) discard(t *tx, m *queue.Message, part *queue.Part, id int64, state envelope.State) error {
	for _, to := range part.To {
		rec, err := newRecordRow(queue.Record{
			Recipient: to, State: state, At: time.Now(), Upstream: part.Progress.Upstream,
			Error: part.Progress.Error, Attempts: part.Progress.Attempts,
			From: m.Envelope.From, Header: m.Header, Size: m.Size, Received: m.Envelope.Received,
		}, id)
		if err != nil {
			return err
		}
		if err := rec.insert(t); err != nil {
			return err
		}
	}
	err := exec(t.conn, "DELETE FROM parts WHERE message = ? AND n = ?", func(s *sqlite.Stmt) {
		s.BindInt64(1, id)
		s.BindInt64(2, p.n)
	})
	t.move(p.lane, p.state, p.size, -1)
	return err
}

const hastenQuery = `UPDATE parts SET next_at = ?1 WHERE (message, n) IN (
	SELECT message, n FROM parts INDEXED BY parts_due
	WHERE state = 0 AND lane = ?2 AND next_at > ?4 ORDER BY next_at LIMIT ?3)`

// Hasten makes the queued parts of a lane due now that are due later than after, some in each op.
func (s *Store) Hasten(ctx context.Context, lane string, after time.Time) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	now := time.Now().UnixMilli()
	beyond := now
	if after.UnixMilli() > now {
		beyond = after.UnixMilli()
	}
	for {
		var changed int
		err := s.do(ctx, &op{bytes: partsPerOp * 64, run: func(t *tx) error {
			err := exec(t.conn, hastenQuery, func(s *sqlite.Stmt) {
				s.BindInt64(1, now)
				s.BindText(2, lane)
				s.BindInt64(3, partsPerOp)
				s.BindInt64(4, beyond)
			})
			changed = t.conn.Changes()
			t.due = t.due || changed > 0
			return err
		}})
		if err != nil || changed < partsPerOp {
			return err
		}
	}
}

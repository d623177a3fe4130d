package sqlite

import (
	"context"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
)

// idsPerOp and partsPerOp keep the operator's changes so small that mail does not wait for them.
const (
	idsPerOp   = 128
	partsPerOp = 512
)

// action is what an operator does to parts.
type action struct {
	applies func(*storedPart) bool
	do      func(t *tx, m *queue.Message, part *queue.Part, p *storedPart) error
	removes bool // it may leave a message without parts
}

// Retry makes queued and failed parts due now with a new life.
func (s *Store) Retry(ctx context.Context, f queue.Filter) (int, error) {
	return s.change(ctx, f, action{
		applies: func(p *storedPart) bool { return p.state != codeHeld },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *storedPart) error {
			part.Progress = queue.Renewed(part.Progress, t.now)
			return p.requeue(t, m, part)
		},
	})
}

// Hold puts queued parts on hold, those of running attempts too if they come back.
func (s *Store) Hold(ctx context.Context, f queue.Filter) (int, error) {
	return s.change(ctx, f, action{
		applies: func(p *storedPart) bool { return p.state == codeQueued },
		do: func(t *tx, _ *queue.Message, _ *queue.Part, p *storedPart) error {
			return p.update(t, partRow{state: codeHeld, lane: p.lane, nextAt: t.now.UnixMilli(), info: p.info})
		},
	})
}

// Release makes held parts due now, and rules may not hold them again.
func (s *Store) Release(ctx context.Context, f queue.Filter) (int, error) {
	return s.change(ctx, f, action{
		applies: func(p *storedPart) bool { return p.state == codeHeld },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *storedPart) error {
			part.Progress.Released = true
			return p.requeue(t, m, part)
		},
	})
}

// Move puts parts into another lane.
func (s *Store) Move(ctx context.Context, f queue.Filter, lane string) (int, error) {
	return s.change(ctx, f, action{
		applies: func(p *storedPart) bool { return p.lane != lane },
		do: func(t *tx, _ *queue.Message, _ *queue.Part, p *storedPart) error {
			to := p.partRow
			if to.lane = lane; to.state == codeQueued {
				to.nextAt = t.now.UnixMilli()
			}
			return p.update(t, to)
		},
	})
}

// Delete removes parts and leaves a discarded record in the history for each of their recipients. A message
// without any other part goes.
func (s *Store) Delete(ctx context.Context, f queue.Filter) (int, error) {
	return s.change(ctx, f, action{
		applies: func(*storedPart) bool { return true },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *storedPart) error {
			return p.discard(t, m, part, envelope.Discarded)
		},
		removes: true,
	})
}

// change does something to the parts that a filter names.
func (s *Store) change(ctx context.Context, f queue.Filter, a action) (messages int, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	c, err := newChoice(f)
	if err != nil {
		return 0, err
	}
	return s.apply(ctx, c, a)
}

// apply does something to the parts of a choice, some messages in each op, and returns how many messages had one.
func (s *Store) apply(ctx context.Context, c *choice, a action) (total int, err error) {
	for began, more := s.ids.Next(), true; more; {
		var ids []int64
		err := s.use(ctx, func(conn *sqlite.Conn) (err error) {
			ids, err = c.next(conn, idsPerOp)
			return err
		})
		if err != nil {
			return total, err
		}
		more = len(ids) == idsPerOp && c.after < began // what came meanwhile is not waited for
		v := visit{choice: c, action: a, leases: &s.leases, ids: s.ids}
		if len(ids) > 0 {
			err = s.do(ctx, &op{bytes: len(ids) * rowBytes, steers: true, run: func(t *tx) error { return v.messages(t, ids) }})
		}
		s.leases.drop(v.reserved)
		if err != nil {
			return total, err
		}
		total += v.changed
		s.leases.drop(v.deleted)
		for _, id := range v.gone {
			s.removeBody(id)
		}
	}
	return total, nil
}

// visit is what one op of an operator's change does.
type visit struct {
	*choice
	action
	leases   *leases
	ids      *queue.IDs
	reserved []partKey // parts that were divided: nobody may claim them before the commit

	changed int
	deleted []partKey
	gone    []int64 // messages
}

// messages runs in the writer, twice if another op of its group fails.
func (v *visit) messages(t *tx, ids []int64) error {
	v.changed, v.deleted, v.gone = 0, nil, nil
	for _, id := range ids {
		row, m, err := readMessage(t.conn, id)
		if err != nil {
			return err
		}
		if row == nil {
			continue
		}
		changed, err := v.parts(t, row, m)
		if err != nil {
			return err
		}
		if !changed {
			continue
		}
		v.changed++
		if v.removes {
			gone, _, err := removeMessage(t, id, false)
			if err != nil {
				return err
			}
			if gone {
				v.gone = append(v.gone, id)
			}
		}
	}
	return nil
}

// parts acts on those of a message that are chosen and reports whether there were any.
func (v *visit) parts(t *tx, row *messageRow, m *queue.Message) (changed bool, err error) {
	for i := range row.parts {
		p, part := &row.parts[i], &m.Parts[i]
		if !v.applies(p) {
			continue
		}
		to := v.filter.Names(m, part)
		switch {
		case len(to) == 0:
			continue
		case len(to) < len(part.To):
			if !v.reserve(p.key) {
				continue
			}
			if p, err = p.divide(t, m, part, to, v.ids.Next()); err != nil {
				return false, err
			}
		case v.removes:
			v.deleted = append(v.deleted, p.key)
		}
		if !part.Interrupted && v.leases.holds(p.key) { // see interrupted.go
			part.Interrupted = true
			if p.info, err = partText(part, m.Envelope.To); err != nil {
				return false, err
			}
		}
		if err := v.do(t, m, part, p); err != nil {
			return false, err
		}
		changed = true
	}
	return changed, nil
}

// reserve makes sure that nobody works on a part while it is divided.
func (v *visit) reserve(key partKey) bool {
	if slices.Contains(v.reserved, key) {
		return true
	}
	if !v.leases.reserve(key) {
		return false
	}
	v.reserved = append(v.reserved, key)
	return true
}

// divide gives some recipients of a part a part of their own and makes part that one.
func (p *storedPart) divide(t *tx, m *queue.Message, part *queue.Part, to []envelope.Recipient, number int64) (*storedPart, error) {
	rest := *part
	rest.To = slices.DeleteFunc(slices.Clone(part.To), func(r envelope.Recipient) bool {
		return slices.ContainsFunc(to, func(o envelope.Recipient) bool { return sameRecipient(r, o) })
	})
	part.To = to
	kept, split := p.partRow, *p
	var err error
	if kept.info, err = partText(&rest, m.Envelope.To); err != nil {
		return nil, err
	}
	if split.info, err = partText(part, m.Envelope.To); err != nil {
		return nil, err
	}
	if err := p.update(t, kept); err != nil {
		return nil, err
	}
	split.key.n = number
	return &split, split.insert(t, split.key)
}

// requeue makes the part due now, as part says.
func (p *storedPart) requeue(t *tx, m *queue.Message, part *queue.Part) error {
	info, err := partText(part, m.Envelope.To)
	if err != nil {
		return err
	}
	return p.update(t, partRow{state: codeQueued, lane: p.lane, nextAt: t.now.UnixMilli(), info: info})
}

// update changes all of the row but its size.
func (p *storedPart) update(t *tx, to partRow) error {
	err := database.Exec(t.conn, "UPDATE parts SET state = ?, lane = ?, next_at = ?, info = ? WHERE message = ? AND n = ?",
		database.Args{to.state, to.lane, to.nextAt, to.info, p.key.message, p.key.n})
	if err != nil {
		return err
	}
	t.count(p.lane, p.state, p.size, -1)
	t.count(to.lane, to.state, p.size, 1)
	t.due = t.due || to.state == codeQueued
	return nil
}

// discard removes the part and leaves records of its recipients.
func (p *storedPart) discard(t *tx, m *queue.Message, part *queue.Part, state envelope.State) error {
	done := make([]queue.Record, len(part.To))
	for i, to := range part.To {
		done[i] = queue.Record{Recipient: to, State: state, Upstream: part.Progress.Upstream, Error: part.Progress.Error, Attempts: part.Progress.Attempts}
	}
	r, err := makeRows(t.now, m, p.key.message, nil, done)
	if err != nil {
		return err
	}
	if err := r.insert(t, p.key.message, nil); err != nil {
		return err
	}
	return p.key.remove(t, p.lane, p.state, p.size)
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
	now := s.now().UnixMilli()
	beyond := max(now, after.UnixMilli())
	for {
		var changed int
		err := s.do(ctx, &op{bytes: partsPerOp * 64, run: func(t *tx) error {
			err := database.Exec(t.conn, hastenQuery, database.Args{now, lane, partsPerOp, beyond})
			changed = t.conn.Changes()
			t.due = t.due || changed > 0
			return err
		}})
		if err != nil || changed < partsPerOp {
			return err
		}
	}
}

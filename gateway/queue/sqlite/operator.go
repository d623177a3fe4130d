package sqlite

import (
	"context"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/history"
)

// idsPerOp and partsPerOp keep the operator's changes so small that mail does not wait for them.
const (
	idsPerOp   = 128
	partsPerOp = 512
)

// action is what an operator does to parts.
type action struct {
	applies func(*row.StoredPart) bool
	spares  func(*queue.Part) bool // those, and leased parts, are left alone; nil: none is
	do      func(t *tx, m *queue.Message, part *queue.Part, p *row.StoredPart) error
	removes bool        // it may leave a message without parts
	keeps   bool        // whose body then stays for as long as that of others, if a recipient had another end
	event   queue.Event // that says so; without Kind: none
}

// Retry makes queued and failed parts due now with a new life.
func (s *Store) Retry(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return s.change(ctx, f, action{
		event:   queue.Event{Kind: queue.EventRetried, By: by},
		applies: func(p *row.StoredPart) bool { return p.State != row.Held },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *row.StoredPart) error {
			part.Progress = queue.Renewed(part.Progress, t.now)
			return t.requeue(p, m, part)
		},
	})
}

// Hold puts queued parts on hold, those of running attempts too if they come back.
func (s *Store) Hold(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return s.change(ctx, f, action{
		event:   queue.Event{Kind: queue.EventHeld, By: by},
		applies: func(p *row.StoredPart) bool { return p.State == row.Queued },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *row.StoredPart) error {
			part.Progress = queue.OnHold(part.Progress, by, t.now)
			info, err := row.PartText(part, m.Envelope.To)
			if err != nil {
				return err
			}
			return t.updatePart(p, row.Part{State: row.Held, Lane: p.Lane, NextAt: t.now.UnixMilli(), Info: info})
		},
	})
}

// Release makes held parts due now, and rules may not hold them again.
func (s *Store) Release(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return s.change(ctx, f, action{
		event:   queue.Event{Kind: queue.EventReleased, By: by},
		applies: func(p *row.StoredPart) bool { return p.State == row.Held },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *row.StoredPart) error {
			part.Progress = queue.Released(part.Progress, t.now)
			return t.requeue(p, m, part)
		},
	})
}

// Move puts parts into another lane, or gives them back to the routes.
func (s *Store) Move(ctx context.Context, f queue.Filter, lane, by string) (queue.Changed, error) {
	return s.change(ctx, f, action{
		event:   queue.MoveEvent(lane, by),
		applies: func(p *row.StoredPart) bool { return p.Lane != lane },
		spares:  func(part *queue.Part) bool { return !queue.MayMove(part, lane) },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *row.StoredPart) (err error) {
			part.Progress = queue.Moved(part.Progress, lane, t.now)
			to := p.Part
			if lane != "" {
				to.Lane = lane
			}
			if to.State == row.Queued {
				to.NextAt = t.now.UnixMilli()
			}
			if to.Info, err = row.PartText(part, m.Envelope.To); err != nil {
				return err
			}
			return t.updatePart(p, to)
		},
	})
}

// Delete removes parts and leaves a discarded record in the history for each of their recipients. A message
// without any other part goes, unless others of its recipients had it. Parts that are leased stay: their mail may be taken at
// this moment.
func (s *Store) Delete(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return s.change(ctx, f, action{
		event:   queue.Event{Kind: queue.EventDeleted, By: by},
		applies: func(*row.StoredPart) bool { return true },
		spares:  func(*queue.Part) bool { return false },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *row.StoredPart) error {
			return t.end(p, m, queue.Deleted(part, by))
		},
		removes: true, keeps: true,
	})
}

// change does something to the parts that a filter names.
func (s *Store) change(ctx context.Context, f queue.Filter, a action) (changed queue.Changed, err error) {
	if err := s.enter(); err != nil {
		return changed, err
	}
	defer s.leave()
	c, err := row.NewChoice(f)
	if err != nil {
		return changed, err
	}
	return s.apply(ctx, c, a)
}

// apply does something to the parts of a choice, some messages in each op, and returns how much it changed.
func (s *Store) apply(ctx context.Context, c *row.Choice, a action) (total queue.Changed, err error) {
	for began, more := s.ids.Next(), true; more; {
		var ids []int64
		err := s.use(ctx, func(conn *sqlite.Conn) (err error) {
			ids, err = nextOf(conn, c, idsPerOp)
			return err
		})
		if err != nil {
			return total, err
		}
		more = len(ids) == idsPerOp && c.After < began // what came meanwhile is not waited for
		v := visit{Choice: c, action: a, leases: &s.leases, keeper: s.Keeper, ids: s.ids}
		if len(ids) > 0 {
			err = s.do(ctx, &op{bytes: len(ids) * rowBytes, steers: true, run: func(t *tx) error { return v.messages(t, ids) }})
		}
		s.leases.drop(v.reserved)
		if err != nil {
			return total, err
		}
		total.Messages += v.changed.Messages
		total.Recipients += v.changed.Recipients
		total.Busy, total.Offered = total.Busy+v.changed.Busy, total.Offered+v.changed.Offered
		s.removeBodies(v.gone)
		if v.left {
			s.Left()
		}
	}
	return total, nil
}

// visit is what one op of an operator's change does.
type visit struct {
	*row.Choice
	action
	leases   *leases
	keeper   *history.Keeper
	ids      *queue.IDs
	reserved []row.Key // parts that were divided or moved: nobody may claim them before the commit

	changed queue.Changed
	gone    []*history.Ended
	left    bool // the row of a message that has ended
}

// messages runs in the writer, twice if another op of its group fails.
func (v *visit) messages(t *tx, ids []int64) error {
	v.changed, v.gone, v.left = queue.Changed{}, nil, false
	for _, id := range ids {
		found, m, err := readMessage(t.conn, id)
		if err != nil {
			return err
		}
		if found == nil {
			continue
		}
		changed, err := v.parts(t, found, m)
		if err != nil {
			return err
		}
		if !changed {
			continue
		}
		v.changed.Messages++
		if v.removes {
			if err := v.end(t, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// end puts a message away if it has no parts left.
func (v *visit) end(t *tx, id int64) error {
	e, err := v.keeper.EndedMessage(t.conn, id)
	if err != nil || e == nil {
		return err
	}
	if v.keeps && v.keeper.BodiesStay() {
		if discarded, err := history.AllDiscarded(t.conn, id); err != nil || !discarded {
			v.left = true
			return err
		}
	}
	gone, err := t.putAway(e)
	if gone {
		v.gone = append(v.gone, e)
	}
	return err
}

// parts acts on those of a message that are chosen and reports whether there were any.
func (v *visit) parts(t *tx, found *row.Message, m *queue.Message) (changed bool, err error) {
	for i := range found.Parts {
		p, part := &found.Parts[i], &m.Parts[i]
		if !v.applies(p) {
			continue
		}
		to := v.Filter.Names(m, part)
		switch {
		case len(to) == 0, v.spares != nil && v.spares(part):
			continue
		case (v.spares != nil || len(to) < len(part.To)) && !v.reserve(p.Key):
			v.changed.Busy += len(to)
			continue
		case len(to) < len(part.To):
			if p, err = t.divide(p, m, part, to, v.ids.Next()); err != nil {
				return false, err
			}
		}
		if v.leases.holds(p.Key) {
			v.changed.Offered += len(part.To)
			part.Interrupted = true // see interrupted.go
			if p.Info, err = row.PartText(part, m.Envelope.To); err != nil {
				return false, err
			}
		}
		attempts := part.Progress.Attempts
		if err := v.do(t, m, part, p); err != nil {
			return false, err
		}
		if err := v.note(t, p.Key.Message, part, attempts); err != nil {
			return false, err
		}
		v.changed.Recipients += len(part.To)
		changed = true
	}
	return changed, nil
}

// note writes the event of what was done to a part.
func (v *visit) note(t *tx, message int64, part *queue.Part, attempts int) error {
	if v.event.Kind == "" {
		return nil
	}
	return v.keeper.AddEvents(t.conn, t.now, message, []queue.Event{v.event.About(part, attempts)})
}

// reserve makes sure that nobody works on a part while it is divided.
func (v *visit) reserve(key row.Key) bool {
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
func (t *tx) divide(p *row.StoredPart, m *queue.Message, part *queue.Part, to []envelope.Recipient, number int64) (*row.StoredPart, error) {
	rest := row.Without(*part, to)
	part.To = to
	kept, split := p.Part, *p
	var err error
	if kept.Info, err = row.PartText(&rest, m.Envelope.To); err != nil {
		return nil, err
	}
	if split.Info, err = row.PartText(part, m.Envelope.To); err != nil {
		return nil, err
	}
	if err := t.updatePart(p, kept); err != nil {
		return nil, err
	}
	split.Key.N = number
	return &split, t.insertPart(&split.Part, split.Key)
}

// requeue makes the part due now, as part says.
func (t *tx) requeue(p *row.StoredPart, m *queue.Message, part *queue.Part) error {
	info, err := row.PartText(part, m.Envelope.To)
	if err != nil {
		return err
	}
	return t.updatePart(p, row.Part{State: row.Queued, Lane: p.Lane, NextAt: t.now.UnixMilli(), Info: info})
}

// end removes a part and leaves the records of its recipients.
func (t *tx) end(p *row.StoredPart, m *queue.Message, done []queue.Record) error {
	r, err := row.Make(t.now, m, p.Key.Message, nil, done, t.hide)
	if err != nil {
		return err
	}
	if err := t.insertRows(r, p.Key.Message, nil); err != nil {
		return err
	}
	return t.removePart(p.Key, p.Lane, p.State, p.Size)
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

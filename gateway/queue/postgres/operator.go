package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/choice"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/history"
	"mailhatch/gateway/queue/postgres/parts"
	"mailhatch/gateway/queue/row"
)

// idsPerChange is how many messages one transaction of an operator's change locks.
const idsPerChange = 128

// action is what an operator does to parts.
type action struct {
	applies func(*row.StoredPart) bool
	spares  func(*queue.Part) bool // those, and leased parts, are left alone; nil: none is
	// do returns the part as it is to be, or the records of its recipients if it is to go.
	do    func(part *queue.Part, p *row.StoredPart, now time.Time) (to row.Part, done []queue.Record)
	event queue.Event // that says so; without Kind: none
	keeps bool        // bodies then stay for as long as those of others, if a recipient had another end
}

func queued(p *row.StoredPart) row.Part {
	return row.Part{State: row.Queued, Lane: p.Lane, NextAt: parts.DueNow, Size: p.Size}
}

// Retry makes queued and failed parts due now with a new life.
func (s *Store) Retry(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return s.changeParts(ctx, f, &action{
		event:   queue.Event{Kind: queue.EventRetried, By: by},
		applies: func(p *row.StoredPart) bool { return p.State != row.Held },
		do: func(part *queue.Part, p *row.StoredPart, now time.Time) (row.Part, []queue.Record) {
			part.Progress = queue.Renewed(part.Progress, now)
			return queued(p), nil
		},
	})
}

// Hold puts queued parts on hold, those of running attempts too if they come back.
func (s *Store) Hold(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return s.changeParts(ctx, f, &action{
		event:   queue.Event{Kind: queue.EventHeld, By: by},
		applies: func(p *row.StoredPart) bool { return p.State == row.Queued },
		do: func(part *queue.Part, p *row.StoredPart, now time.Time) (row.Part, []queue.Record) {
			part.Progress = queue.OnHold(part.Progress, by, now)
			return row.Part{State: row.Held, Lane: p.Lane, NextAt: now.UnixMilli(), Size: p.Size}, nil
		},
	})
}

// Release makes held parts due now, and rules may not hold them again.
func (s *Store) Release(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return s.changeParts(ctx, f, &action{
		event:   queue.Event{Kind: queue.EventReleased, By: by},
		applies: func(p *row.StoredPart) bool { return p.State == row.Held },
		do: func(part *queue.Part, p *row.StoredPart, now time.Time) (row.Part, []queue.Record) {
			part.Progress = queue.Released(part.Progress, now)
			return queued(p), nil
		},
	})
}

// Move puts parts into another lane, or gives them back to the routes.
func (s *Store) Move(ctx context.Context, f queue.Filter, lane, by string) (queue.Changed, error) {
	lane = database.Text(lane)
	return s.changeParts(ctx, f, &action{
		event:   queue.MoveEvent(lane, by),
		applies: func(p *row.StoredPart) bool { return p.Lane != lane },
		spares:  func(part *queue.Part) bool { return !queue.MayMove(part, lane) },
		do: func(part *queue.Part, p *row.StoredPart, now time.Time) (row.Part, []queue.Record) {
			part.Progress = queue.Moved(part.Progress, lane, now)
			to := p.Part
			if lane != "" {
				to.Lane = lane
			}
			if to.State == row.Queued {
				to.NextAt = parts.DueNow
			}
			return to, nil
		},
	})
}

// Delete removes parts and leaves a discarded record in the history for each of their recipients.
func (s *Store) Delete(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return s.changeParts(ctx, f, &action{
		event:   queue.Event{Kind: queue.EventDeleted, By: by},
		applies: func(*row.StoredPart) bool { return true },
		spares:  func(*queue.Part) bool { return false },
		do: func(part *queue.Part, _ *row.StoredPart, _ time.Time) (row.Part, []queue.Record) {
			return row.Part{}, queue.Deleted(part, by)
		},
		keeps: true,
	})
}

// changeParts does something to the parts that a filter names.
func (s *Store) changeParts(ctx context.Context, f queue.Filter, a *action) (changed queue.Changed, err error) {
	if err := s.calls.Enter(); err != nil {
		return changed, err
	}
	defer s.calls.Leave()
	c, err := row.NewChoice(f)
	if err != nil {
		return changed, err
	}
	return s.apply(ctx, c, a)
}

// apply does something to the parts of a choice, some messages in each transaction, and returns how much it changed.
func (s *Store) apply(ctx context.Context, c *row.Choice, a *action) (total queue.Changed, err error) {
	for began, more := s.ids.Next(), true; more; {
		if err := s.err(); err != nil {
			return total, err
		}
		ids, err := choice.Next(ctx, s.pool, c, idsPerChange)
		if err != nil {
			return total, database.Describe(err)
		}
		more = len(ids) == idsPerChange && c.After < began // what came meanwhile is not waited for
		var v *visit
		err = database.Change(ctx, s.pool, func(tx pgx.Tx) error {
			v = &visit{Choice: c, action: a, store: s, now: s.now()}
			return v.messages(ctx, tx, ids)
		})
		if err != nil {
			return total, err
		}
		total.Messages += v.changed.Messages
		total.Recipients += v.changed.Recipients
		total.Busy, total.Offered = total.Busy+v.changed.Busy, total.Offered+v.changed.Offered
		for _, lane := range v.woken {
			s.lanes.of(lane).Reset()
		}
		if len(v.woken) > 0 {
			s.signal()
		}
	}
	return total, nil
}

// visit is what one transaction of an operator's change does.
type visit struct {
	*row.Choice
	*action
	store   *Store
	now     time.Time
	changed queue.Changed
	woken   []string // lanes in which mail is due

	update, insert parts.Rows
	gone           parts.Rows // only the keys
	over           endedRows
	history        history.Rows
}

// messages changes parts of messages, which it locks.
func (v *visit) messages(ctx context.Context, tx pgx.Tx, ids []int64) error {
	list, err := v.store.messages(ctx, tx, ids, " FOR UPDATE OF p")
	if err != nil {
		return err
	}
	for _, f := range list {
		changed, err := v.parts(ctx, tx, f)
		if err != nil {
			return err
		}
		if changed {
			v.changed.Messages++
		}
	}
	b := &pgx.Batch{}
	v.update.Update(b)
	v.insert.Insert(b)
	if v.gone.Delete(b); v.gone.Len() > 0 {
		b.Queue(lockMessages, v.gone.Messages())
	}
	v.history.Queue(b)
	v.over.queue(b, v.keeps && v.store.bodiesStay())
	return tx.SendBatch(ctx, b).Close()
}

// parts acts on those of a message that are chosen and reports whether there were any.
func (v *visit) parts(ctx context.Context, tx pgx.Tx, f *found) (changed bool, err error) {
	for i := range f.rows.Parts {
		p, part := &f.rows.Parts[i], &f.message.Parts[i]
		if !v.applies(p) {
			continue
		}
		to := v.Filter.Names(f.message, part)
		switch {
		case len(to) == 0, v.spares != nil && v.spares(part):
			continue
		case (v.spares != nil || len(to) < len(part.To)) && f.leased[i]:
			v.changed.Busy += len(to)
			continue
		case len(to) < len(part.To):
			if p, err = v.divide(p, f.message, part, to); err != nil {
				return false, err
			}
		}
		if f.leased[i] {
			v.changed.Offered += len(part.To)
		}
		attempts := part.Progress.Attempts
		if err := v.one(ctx, tx, f, part, p); err != nil {
			return false, err
		}
		if err := v.note(p.Key.Message, part, attempts); err != nil {
			return false, err
		}
		v.changed.Recipients += len(part.To)
		changed = true
	}
	return changed, nil
}

// one acts on a part.
func (v *visit) one(ctx context.Context, tx pgx.Tx, f *found, part *queue.Part, p *row.StoredPart) (err error) {
	to, done := v.do(part, p, v.now)
	if done != nil {
		return v.end(ctx, tx, f, p, done)
	}
	if to.State == row.Queued {
		if !slices.Contains(v.woken, to.Lane) {
			v.woken = append(v.woken, to.Lane)
		}
	}
	if to.Info, err = row.PartText(part, f.message.Envelope.To); err != nil {
		return err
	}
	if p.Key.N < 0 { // it was divided off: its row is new
		v.insert.Add(row.Key{Message: p.Key.Message, N: v.store.ids.Next()}, &to, part.Interrupted)
		return nil
	}
	v.update.Add(p.Key, &to, false)
	return nil
}

// end lets a part go, with the records of its recipients.
func (v *visit) end(ctx context.Context, tx pgx.Tx, f *found, p *row.StoredPart, done []queue.Record) error {
	for i := range done {
		done[i].Gateway = v.store.gateway
	}
	if f.data == nil {
		f.data = []byte{}
		err := tx.QueryRow(ctx, "SELECT coalesce((SELECT substring(data FROM 1 FOR $2) FROM bodies WHERE message = $1 AND n = 0), '')", p.Key.Message, row.MaxFields).Scan(&f.data)
		if err != nil {
			return err
		}
	}
	making := v.store.Making()
	rows, err := row.Make(v.now, f.message, p.Key.Message, nil, done, making.Hide)
	if err != nil {
		return err
	}
	v.history.AddAll(rows.Records, making.Records(), v.store.Kept([]byte(f.rows.Info), f.data))
	if p.Key.N >= 0 {
		v.gone.Add(p.Key, &p.Part, false)
	}
	v.over.add(p.Key.Message, v.now.UnixMilli(), false)
	return nil
}

// note writes the event of what was done to a part.
func (v *visit) note(message int64, part *queue.Part, attempts int) error {
	if v.event.Kind == "" {
		return nil
	}
	return v.store.AddEvents(&v.history, message, []queue.Event{v.event.About(part, attempts)})
}

// divide takes some recipients out of a part, which stays as it is otherwise, and makes part the one of these.
func (v *visit) divide(p *row.StoredPart, m *queue.Message, part *queue.Part, to []envelope.Recipient) (*row.StoredPart, error) {
	rest := row.Without(*part, to)
	part.To = to
	stays, split := p.Part, *p
	var err error
	if stays.Info, err = row.PartText(&rest, m.Envelope.To); err != nil {
		return nil, err
	}
	if stays.State == row.Queued {
		stays.NextAt = v.store.clock.To(stays.NextAt)
	}
	v.update.Add(p.Key, &stays, false)
	split.Key.N = -1
	return &split, nil
}

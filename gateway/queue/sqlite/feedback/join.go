package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/history"
	"mailhatch/gateway/queue/told"
)

// join writes what was told, with a change of its own in the same write. Records that only the provider's id leads to are
// looked for before, so that other changes do not wait for that: what comes meanwhile is found by the next Rejoin.
func (d Desk) join(ctx context.Context, list []waiting, change func(*sqlite.Conn) error) (queue.Applied, error) {
	if err := d.findProviders(ctx, list); err != nil {
		return queue.Applied{}, err
	}
	for i := range list {
		if err := list[i].FindByAddress(ctx, d.History.Search); err != nil {
			return queue.Applied{}, err
		}
	}
	var done queue.Applied
	err := d.History.Write(ctx, 4*len(list)+1, func(conn *sqlite.Conn) error {
		j := joint{Desk: d, conn: conn, now: d.History.Now(), heard: map[int64]*told.Heard{}, records: map[int64][]*history.Stored{}}
		for i := range list {
			if err := j.one(&list[i]); err != nil {
				return err
			}
		}
		left, dropped, err := bound(conn, queue.JoinMost)
		if err == nil {
			err = change(conn)
		}
		done = j.done
		done.Waiting, done.Dropped = left, done.Dropped+dropped
		return err
	})
	if err != nil {
		return queue.Applied{}, err
	}
	return done, nil
}

// findProviders looks for the records of mail that is known by its provider's id alone.
func (d Desk) findProviders(ctx context.Context, list []waiting) error {
	ids, after := map[string]bool{}, int64(-1)
	for i := range list {
		if w := &list[i]; w.Message == 0 && w.Provider() != "" {
			ids[w.Provider()] = true
			if after < 0 || w.tried < after {
				after = w.tried
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, upTo, err := d.History.ByProvider(ctx, ids, after)
	if err != nil {
		return err
	}
	for i := range list {
		if w := &list[i]; w.Message == 0 && w.Provider() != "" {
			w.candidates, w.tried = found[w.Provider()], upTo
		}
	}
	return nil
}

// joint is one write.
type joint struct {
	Desk
	conn *sqlite.Conn
	now  time.Time
	done queue.Applied

	heard   map[int64]*told.Heard       // by message
	records map[int64][]*history.Stored // by message; states change there too
}

// one writes one of those that were told.
func (j *joint) one(w *waiting) error {
	if w.IsVoid() {
		j.done.Dropped++
		return w.done(j.conn)
	}
	r, err := j.find(w)
	if err != nil {
		return err
	}
	if r == nil {
		again, err := w.wait(j.conn, j.now)
		if again {
			j.done.Again++
		}
		return err
	}
	if err := j.tell(r, w); err != nil {
		return err
	}
	return w.done(j.conn)
}

// find returns the record that something is told of; nil: there is none.
func (j *joint) find(w *waiting) (*history.Stored, error) {
	list, err := j.candidates(w)
	if err != nil {
		return nil, err
	}
	rows := make([]*row.Record, len(list))
	for i := range list {
		rows[i] = &list[i].Record
	}
	i, err := w.Find(rows, j.History.Veil.Address)
	if err != nil || i < 0 {
		return nil, err
	}
	return list[i], nil
}

// candidates reads the records of the message that something is told of, once in a write.
func (j *joint) candidates(w *waiting) (list []*history.Stored, err error) {
	if w.Message != 0 {
		if known, ok := j.records[w.Message]; ok {
			return known, nil
		}
		stored, err := history.OfMessage(j.conn, w.Message)
		for i := range stored {
			list = append(list, &stored[i])
		}
		j.records[w.Message] = list
		return list, err
	}
	for _, seq := range w.candidates {
		r, err := history.Record(j.conn, seq)
		if err != nil {
			return nil, err
		}
		if r != nil {
			list = append(list, r)
		}
	}
	return list, nil
}

// tell writes what was told of the recipient of a record.
func (j *joint) tell(r *history.Stored, w *waiting) error {
	heard, err := j.heardOf(r.Message)
	if err != nil {
		return err
	}
	news, err := heard.Take(&w.Item, &r.Record, j.History.Veil.Address)
	if err != nil {
		return err
	}
	if news == nil {
		j.done.Again++
		return nil
	}
	j.done.Joined = append(j.done.Joined, news.Joined)
	if news.Changed {
		if err := j.History.SetState(j.conn, r); err != nil {
			return err
		}
	}
	if news.Report {
		if err := j.keepLate(r.Seq, w.Told); err != nil {
			return err
		}
	}
	if err := errors.Join(j.suppress(&news.Joined), j.forward(&news.Joined)); err != nil || news.Event.Kind == "" {
		return err
	}
	return j.History.AddEvents(j.conn, j.now, r.Message, []queue.Event{news.Event})
}

// keepLate leaves a late bounce of a record.
func (j *joint) keepLate(seq int64, t queue.Told) error {
	info, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return database.Exec(j.conn, "INSERT INTO feedback_late (seq, at, info) VALUES (?, ?, ?) ON CONFLICT (seq) DO NOTHING",
		database.Args{seq, j.now.UnixMilli(), string(info)})
}

// suppress puts the recipient on the list of suppressed addresses, or takes it off.
func (j *joint) suppress(joined *queue.Joined) error {
	if joined.Kind == queue.EventDelivered {
		lifted, err := j.Refused.Delivered(j.conn, queue.SenderDomain(joined.From), joined.Recipient, joined.At)
		j.done.Lifted = append(j.done.Lifted, lifted...)
		return err
	}
	s, due := j.Refused.Due(joined)
	if !due {
		return nil
	}
	added, err := j.Refused.Put(j.conn, s)
	if added {
		j.done.Suppressed = append(j.done.Suppressed, s)
	}
	return err
}

// heardOf reads the events of a message, once in a write.
func (j *joint) heardOf(message int64) (*told.Heard, error) {
	if h := j.heard[message]; h != nil {
		return h, nil
	}
	h := told.NewHeard()
	j.heard[message] = h
	return h, database.Rows(j.conn, "SELECT info FROM events WHERE message = ?", database.Args{message}, func(s *sqlite.Stmt) (bool, error) {
		var e queue.Event
		err := json.Unmarshal([]byte(s.ColumnText(0)), &e)
		h.Add(e)
		return true, err
	})
}

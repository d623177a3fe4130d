package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/history"
	"mailhatch/gateway/queue/postgres/suppress"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/told"
)

// lockQuery lets one write of feedback after the other look at what is known and add to it.
const lockQuery = "SELECT pg_advisory_xact_lock(hashtextextended('mailhatch feedback', 0))"

// join writes what was told, with a change of its own in the same write.
func (d Desk) join(ctx context.Context, list []*told.Item, change func(pgx.Tx) error) (queue.Applied, error) {
	for _, i := range list {
		if err := i.FindByAddress(ctx, d.History.Search); err != nil {
			return queue.Applied{}, err
		}
	}
	var done queue.Applied
	err := d.Change(ctx, func(tx pgx.Tx) error {
		j := joint{Desk: d, tx: tx, now: d.Now(), heard: map[int64]*told.Heard{}, byMessage: map[int64][]*history.Stored{}, byProvider: map[string][]*history.Stored{}}
		for _, lock := range []string{lockQuery, suppress.Lock} {
			if _, err := tx.Exec(ctx, lock); err != nil {
				return err
			}
		}
		if err := change(tx); err != nil {
			return err
		}
		if err := j.all(ctx, list); err != nil {
			return err
		}
		left, dropped, err := bound(ctx, tx, queue.JoinMost)
		done = j.done
		done.Waiting, done.Dropped = left, done.Dropped+dropped
		return err
	})
	if err != nil {
		return queue.Applied{}, err
	}
	return done, nil
}

// joint is one write. It reads at its beginning what it has to know, and writes at its end.
type joint struct {
	Desk
	tx   pgx.Tx
	now  time.Time
	done queue.Applied

	byMessage  map[int64][]*history.Stored
	byProvider map[string][]*history.Stored
	heard      map[int64]*told.Heard // of messages

	changed  []*history.Stored
	rows     history.Rows
	lateSeq  []int64
	lateInfo []string
	over     []int64 // rows of those that do not wait any more
}

// all joins what was told with records.
func (j *joint) all(ctx context.Context, list []*told.Item) error {
	if err := j.read(ctx, list); err != nil {
		return err
	}
	var wait []*told.Item
	for _, i := range list {
		if i.IsVoid() {
			j.done.Dropped++
		} else if r, err := j.find(i); err != nil {
			return err
		} else if r != nil {
			if err := j.tell(ctx, r, i); err != nil {
				return err
			}
		} else {
			if i.Row == 0 {
				wait = append(wait, i)
			}
			continue
		}
		if i.Row != 0 {
			j.over = append(j.over, i.Row)
		}
	}
	again, err := j.keep(ctx, wait)
	if err != nil {
		return err
	}
	j.done.Again += again
	return j.write(ctx)
}

// read reads the records that may be meant, and what is known of their messages.
func (j *joint) read(ctx context.Context, list []*told.Item) error {
	messages, providers := []int64{}, []string{} // not NULL
	for _, i := range list {
		if i.Message != 0 {
			messages = append(messages, i.Message)
		} else if i.Provider() != "" {
			providers = append(providers, i.Provider())
		}
	}
	records, err := j.History.Candidates(ctx, j.tx, messages, providers)
	if err != nil {
		return err
	}
	for _, r := range records {
		t, err := r.Texts()
		if err != nil {
			return err
		}
		j.byMessage[r.Message] = append(j.byMessage[r.Message], r)
		id := queue.PlainID(t.ProviderID)
		j.byProvider[id] = append(j.byProvider[id], r)
	}
	var ids []int64
	for id := range j.byMessage {
		ids = append(ids, id)
		j.heard[id] = told.NewHeard()
	}
	rows, err := j.tx.Query(ctx, "SELECT message, info FROM events WHERE message = ANY($1) ORDER BY message, seq", ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var message int64
		var info string
		var e queue.Event
		if err := rows.Scan(&message, &info); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(info), &e); err != nil {
			return err
		}
		j.heard[message].Add(e)
	}
	return rows.Err()
}

// find returns the record that something is told of; nil: there is none.
func (j *joint) find(i *told.Item) (*history.Stored, error) {
	list := j.byMessage[i.Message]
	if i.Message == 0 {
		list = j.byProvider[i.Provider()]
	}
	rows := make([]*row.Record, len(list))
	for n := range list {
		rows[n] = &list[n].Record
	}
	n, err := i.Find(rows, j.History.Veil.Address)
	if err != nil || n < 0 {
		return nil, err
	}
	return list[n], nil
}

// tell notes what was told of the recipient of a record.
func (j *joint) tell(ctx context.Context, r *history.Stored, i *told.Item) error {
	news, err := j.heard[r.Message].Take(i, &r.Record, j.History.Veil.Address)
	if err != nil {
		return err
	}
	if news == nil {
		j.done.Again++
		return nil
	}
	j.done.Joined = append(j.done.Joined, news.Joined)
	if news.Changed && !slices.Contains(j.changed, r) {
		j.changed = append(j.changed, r)
	}
	if news.Report {
		info, err := json.Marshal(i.Told)
		if err != nil {
			return err
		}
		j.lateSeq, j.lateInfo = append(j.lateSeq, r.Seq), append(j.lateInfo, string(info))
	}
	if err := errors.Join(j.suppress(ctx, &news.Joined), j.forward(ctx, &news.Joined)); err != nil || news.Event.Kind == "" {
		return err
	}
	return j.History.AddEvents(&j.rows, r.Message, []queue.Event{news.Event})
}

// suppress puts the recipient on the list of suppressed addresses, or takes it off.
func (j *joint) suppress(ctx context.Context, joined *queue.Joined) error {
	if joined.Kind == queue.EventDelivered {
		if j.Refused.IsEmpty() {
			return nil
		}
		lifted, err := j.Refused.Delivered(ctx, j.tx, queue.SenderDomain(joined.From), joined.Recipient, joined.At)
		j.done.Lifted = append(j.done.Lifted, lifted...)
		return err
	}
	s, due := j.Refused.Due(joined)
	if !due {
		return nil
	}
	added, err := j.Refused.Put(ctx, j.tx, s)
	if added {
		j.done.Suppressed = append(j.done.Suppressed, s)
	}
	return err
}

// write writes what was noted.
func (j *joint) write(ctx context.Context) error {
	b := &pgx.Batch{}
	history.SetStates(b, j.changed)
	j.rows.Queue(b)
	if len(j.lateSeq) > 0 {
		b.Queue("INSERT INTO feedback_late (seq, at, info) SELECT k.seq, $1, k.info FROM unnest($2::bigint[], $3::text[]) k(seq, info) ON CONFLICT (seq) DO NOTHING",
			j.now.UnixMilli(), j.lateSeq, j.lateInfo)
	}
	if len(j.over) > 0 {
		b.Queue("DELETE FROM feedback_waiting WHERE seq = ANY($1)", j.over)
	}
	return j.tx.SendBatch(ctx, b).Close()
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/batch"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/history"
	"mailhatch/gateway/queue/postgres/ledger"
	"mailhatch/gateway/queue/postgres/parts"
	"mailhatch/gateway/queue/row"
)

// result is what became of a leased part.
type result struct {
	lease   *lease
	parts   []row.Part
	history history.Rows
	quota   queue.Settlement
	at      int64 // latest end of a recipient
	stays   bool  // the bytes, if all of the message has ended: a recipient was not discarded
}

// Finish records what became of the part. A part that was put on hold in the meantime stays on hold if it still waits.
func (l *lease) Finish(ctx context.Context, r queue.Result) error {
	s := l.store
	if err := s.calls.Enter(); err != nil {
		return err
	}
	defer s.calls.Leave()
	if err := s.err(); err != nil {
		return err
	}
	if err := r.Check(&l.message.Parts[0]); err != nil {
		return fmt.Errorf("message %s: %w", l.message.ID, err)
	}
	if s.held.isOver(l) {
		return l.fenced()
	}
	res, err := l.result(ctx, &r)
	if err != nil {
		return err
	}
	err = s.results.Do(ctx, s.over, res, len(l.row.Info))
	if err == nil || errors.Is(err, queue.ErrFenced) {
		s.held.drop(l)
	}
	if err == nil && len(res.parts) > 0 {
		s.signal()
	}
	return err
}

// result makes the rows of a result.
func (l *lease) result(ctx context.Context, r *queue.Result) (*result, error) {
	s := l.store
	done := make([]queue.Record, len(r.Done))
	res := &result{lease: l, quota: r.Quota}
	for i, rec := range r.Done {
		rec.Gateway = s.gateway
		done[i] = rec
		res.stays = res.stays || rec.State != envelope.Discarded
	}
	making := s.Making()
	rows, err := row.Make(s.now(), l.message, l.key.Message, r.Parts, done, making.Hide)
	if err != nil {
		return nil, err
	}
	for i := range rows.Parts {
		s.schedule(&rows.Parts[i], &r.Parts[i])
	}
	for i := range rows.Records {
		res.at = max(res.at, rows.Records[i].At)
	}
	var kept []byte
	if res.parts = rows.Parts; len(res.parts) == 0 {
		kept = s.Kept([]byte(l.row.Info), l.beginning(ctx))
	}
	res.history.AddAll(rows.Records, making.Records(), kept)
	return res, s.AddEvents(&res.history, l.key.Message, r.Events)
}

// beginning returns as much of the message as may be kept.
func (l *lease) beginning(ctx context.Context) []byte {
	if l.data != nil {
		return l.data
	}
	var data []byte
	// What cannot be read is not kept.
	_ = l.store.pool.QueryRow(ctx, "SELECT substring(data FROM 1 FOR $2) FROM bodies WHERE message = $1 AND n = 0", l.body.ID, row.MaxFields).Scan(&data)
	return data
}

// writeResults writes a group of results in one transaction.
func (s *Store) writeResults(group []*batch.Op[*result]) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	for attempt := 0; ; attempt++ {
		xid, err := s.finish(ctx, group)
		if err != nil && xid != 0 && database.IsUnknown(err) {
			if s.isCommitted(xid) {
				err = nil
			}
		}
		switch {
		case err == nil:
		case database.IsPassing(err) && attempt < 5:
			continue
		case database.IsPartitionMissing(err) && attempt == 0 && s.days(ctx) == nil:
			continue
		case len(group) > 1 && !database.IsAway(err) && !database.IsUnknown(err):
			for i := range group {
				s.writeResults(group[i : i+1])
			}
			return
		default:
			batch.Settle(group, database.Describe(err))
		}
		return
	}
}

const takeQuery = `SELECT k.ord, p.state, p.lane, p.info, pg_current_xact_id()::text::bigint
	FROM unnest($1::bigint[], $2::bigint[], $3::int[]) WITH ORDINALITY k(message, n, fence, ord),
		LATERAL (SELECT state, lane, info FROM parts WHERE message = k.message AND n = k.n AND fence = k.fence AND lease_until <> 0 LIMIT 1 FOR UPDATE) p`

// finish makes one transaction of a group, and returns its number as soon as it has one. Results whose lease is lost are left
// out, and say so.
func (s *Store) finish(ctx context.Context, group []*batch.Op[*result]) (xid int64, err error) {
	batch.Settle(group, nil)
	// Rows are locked in one order by all.
	slices.SortFunc(group, func(a, b *batch.Op[*result]) int { return a.Item.lease.compare(b.Item.lease) })
	err = database.Once(ctx, s.pool, func(tx pgx.Tx) error {
		var message, n []int64
		var fence []int32
		for _, o := range group {
			k := o.Item.lease
			message, n, fence = append(message, k.key.Message), append(n, k.key.N), append(fence, int32(k.fence))
		}
		rows, err := tx.Query(ctx, takeQuery, message, n, fence)
		if err != nil {
			return err
		}
		taken, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (t takenPart, err error) {
			err = r.Scan(&t.ord, &t.state, &t.lane, &t.info, &xid)
			return t, err
		})
		if err != nil {
			return err
		}
		b, err := s.resultRows(group, taken)
		if err != nil {
			return err
		}
		return tx.SendBatch(ctx, b).Close()
	})
	return xid, err
}

// takenPart is a leased part as its row has it: an operator may have changed state and lane meanwhile.
type takenPart struct {
	ord, state int64
	lane, info string
}

const (
	// Who ends the last two parts of a message at the same time waits here for the other, and sees then what is left.
	lockMessages = "SELECT id FROM messages WHERE id = ANY($1) ORDER BY id FOR UPDATE"
	// OFFSET keeps a question from becoming a join, which may read a whole table where statistics are old.
	stayQuery = `INSERT INTO ended (message, at, size) SELECT k.id, k.at, m.size FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) k(id, at, stays),
			LATERAL (SELECT size FROM messages WHERE id = k.id LIMIT 1) m
		WHERE NOT EXISTS (SELECT FROM parts WHERE message = k.id OFFSET 0) AND (k.stays OR EXISTS (SELECT FROM history WHERE message = k.id AND state <> 4 OFFSET 0))
		ON CONFLICT DO NOTHING`
	deleteMessages = `WITH gone AS (DELETE FROM messages WHERE id = ANY($1) AND NOT EXISTS (SELECT FROM parts WHERE message = id OFFSET 0)
			AND NOT EXISTS (SELECT FROM ended WHERE message = id OFFSET 0) RETURNING id)
		DELETE FROM bodies WHERE ctid = ANY(ARRAY(SELECT b.ctid FROM gone, LATERAL (SELECT ctid FROM bodies WHERE message = gone.id OFFSET 0) b))`
)

// resultRows makes the statements of a group and settles those that are fenced.
func (s *Store) resultRows(group []*batch.Op[*result], taken []takenPart) (*pgx.Batch, error) {
	of := make([]*takenPart, len(group))
	for i := range taken {
		of[taken[i].ord-1] = &taken[i]
	}
	var shared []int64
	var over endedRows
	var gone, left parts.Rows
	var rows history.Rows
	b := &pgx.Batch{}
	var settled []queue.Settlement
	for i, o := range group {
		r := o.Item
		if of[i] == nil {
			o.Err = r.lease.fenced()
			continue
		}
		gone.Add(r.lease.key, &r.lease.row.Parts[0].Part, false)
		for _, p := range r.parts {
			if err := of[i].apply(&p, r.lease.row.Parts[0].Lane); err != nil {
				return nil, err
			}
			left.Add(row.Key{Message: r.lease.key.Message, N: s.ids.Next()}, &p, false)
		}
		rows.AddRows(&r.history)
		if len(r.parts) == 0 {
			over.add(r.lease.key.Message, r.at, r.stays)
			if !r.lease.sole {
				shared = append(shared, r.lease.key.Message)
			}
		}
		if !r.quota.IsEmpty() {
			r.quota.ID = r.lease.message.ID
			settled = append(settled, r.quota)
		}
	}
	if gone.Len() == 0 {
		return b, nil
	}
	gone.Delete(b)
	left.Insert(b)
	rows.Queue(b)
	if len(shared) > 0 {
		b.Queue(lockMessages, shared)
	}
	over.queue(b, s.bodiesStay())
	return b, ledger.Settle(b, settled)
}

// endedRows are messages of which a part has ended, and perhaps all.
type endedRows struct {
	id, at []int64
	stays  []bool
}

func (e *endedRows) add(id, at int64, stays bool) {
	e.id, e.at, e.stays = append(e.id, id), append(e.at, at), append(e.stays, stays)
}

// queue adds the statements that let messages go that have no part left.
func (e *endedRows) queue(b *pgx.Batch, stay bool) {
	if len(e.id) == 0 {
		return
	}
	if stay {
		b.Queue(stayQuery, e.id, e.at, e.stays)
	}
	b.Queue(deleteMessages, e.id)
}

// apply lets an operator's change of a part hold for what is left of it.
func (t *takenPart) apply(p *row.Part, from string) (err error) {
	if p.State == row.Queued && t.state == row.Held {
		p.State = t.state
		p.Info, err = row.HeldAs(p.Info, t.info)
	}
	if p.Lane == database.Text(from) {
		p.Lane = t.lane
	}
	return err
}

// isCommitted asks what became of a transaction whose COMMIT was not answered, until that is known or nobody can say.
func (s *Store) isCommitted(xid int64) bool {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	for {
		var status *string
		err := s.pool.QueryRow(ctx, "SELECT pg_xact_status($1::text::xid8)", fmt.Sprint(xid)).Scan(&status)
		var pg *pgconn.PgError
		switch {
		case err == nil && status != nil && *status == "committed":
			return s.tell(ctx) == nil // it is not confirmed before what was committed before it
		case err == nil && (status == nil || *status == "aborted"), errors.As(err, &pg) && !database.IsAway(err):
			return false // a server that does not know it has taken over without it
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(askRest):
		}
	}
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/bodies"
	"mailhatch/gateway/queue/postgres/choice"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// listStep is how many messages one statement reads.
const listStep = 500

// List implements queue.Operator.
func (s *Store) List(ctx context.Context, f queue.Filter, p queue.Page) (out []queue.Message, err error) {
	if err := s.calls.Enter(); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	c, err := row.NewPage(f, p)
	if err != nil {
		return nil, err
	}
	for {
		want := listStep
		if p.Limit > 0 {
			want = min(want, p.Limit-len(out))
		}
		ids, err := choice.Next(ctx, s.pool, c, want)
		if err != nil {
			return nil, database.Describe(err)
		}
		page, err := s.messages(ctx, s.pool, ids, "")
		if err != nil {
			return nil, database.Describe(err)
		}
		if p.Newest {
			slices.Reverse(page)
		}
		for _, m := range page {
			if c.Chooses(m.message) {
				out = append(out, *m.message)
			}
		}
		if len(ids) < want || p.Limit > 0 && len(out) >= p.Limit {
			return out, ctx.Err()
		}
	}
}

// found is a message with all of its parts, as rows and as callers see it.
type found struct {
	rows    row.Message
	message *queue.Message
	leased  []bool // parts that are being offered
	data    []byte // beginning of the bytes, where that was asked for
}

const messagesQuery = `SELECT p.message, p.n, p.state, p.lane, p.next_at, p.size, p.info, p.interrupted OR p.lease_until BETWEEN 1 AND ` + database.Now + `,
		p.lease_until > ` + database.Now + `, m.info
	FROM parts p LEFT JOIN LATERAL (SELECT info FROM messages WHERE id = p.message LIMIT 1) m ON true
	WHERE p.message = ANY($1) ORDER BY p.message, p.n`

// messages reads messages with their parts, in the order of their ids. lock is how the parts are locked.
func (s *Store) messages(ctx context.Context, db choice.DB, ids []int64, lock string) (list []*found, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := db.Query(ctx, messagesQuery+lock, ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var interrupted [][]bool
	for rows.Next() {
		var p row.StoredPart
		var cut, leased bool
		var info *string
		if err := rows.Scan(&p.Key.Message, &p.Key.N, &p.State, &p.Lane, &p.NextAt, &p.Size, &p.Info, &cut, &leased, &info); err != nil {
			return nil, err
		}
		if info == nil { // it has ended since
			continue
		}
		if len(list) == 0 || list[len(list)-1].rows.ID != p.Key.Message {
			list = append(list, &found{rows: row.Message{ID: p.Key.Message, Size: p.Size, Info: *info}})
			interrupted = append(interrupted, nil)
		}
		p.NextAt -= s.clock.Ahead()
		last := list[len(list)-1]
		last.rows.Parts, last.leased = append(last.rows.Parts, p), append(last.leased, leased)
		interrupted[len(list)-1] = append(interrupted[len(list)-1], cut)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i, f := range list {
		if f.message, err = f.rows.Decode(); err != nil {
			return nil, err
		}
		for j := range f.message.Parts {
			f.message.Parts[j].Interrupted = f.message.Parts[j].Interrupted || interrupted[i][j]
		}
	}
	return list, nil
}

// aheadQuery counts for one place after the other. The count ends at the most that is asked for.
const aheadQuery = `SELECT (SELECT count(*)::int FROM (SELECT FROM parts WHERE state = 0 AND lane = $1 AND (next_at, message) < (k.at, k.id) LIMIT $2) x)
	FROM unnest($3::bigint[], $4::bigint[]) WITH ORDINALITY k(at, id, n) ORDER BY n`

// Ahead implements queue.Operator.
func (s *Store) Ahead(ctx context.Context, lane string, places []queue.Place, most int) ([]int, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	at, ids := make([]int64, len(places)), make([]int64, len(places))
	for i, p := range places {
		ids[i], _ = queue.ParseID(p.ID)
		at[i] = s.clock.To(p.NextAt.UnixMilli())
	}
	rows, err := s.pool.Query(ctx, aheadQuery, database.Text(lane), most, at, ids)
	if err != nil {
		return nil, database.Describe(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, database.Describe(err)
	}
	return append([]int{}, out...), nil
}

// Body implements queue.Operator.
func (s *Store) Body(ctx context.Context, id string) (queue.Body, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	n, ok := queue.ParseID(id)
	if !ok {
		return nil, fmt.Errorf("%w: %s", queue.ErrNotFound, id)
	}
	b := bodies.Stored{ID: n}
	err := s.pool.QueryRow(ctx, "SELECT size, crc FROM messages WHERE id = $1", n).Scan(&b.Size, &b.CRC)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%w: %s", queue.ErrNotFound, id)
	}
	if err != nil {
		return nil, database.Describe(err)
	}
	return s.openBody(ctx, &b)
}

func (s *Store) openBody(ctx context.Context, b *bodies.Stored) (queue.Body, error) {
	body, err := b.Open(ctx, s.pool, s.dir)
	return body, database.Describe(err)
}

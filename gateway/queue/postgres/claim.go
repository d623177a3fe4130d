package postgres

import (
	"bytes"
	"context"
	"hash/crc32"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/bodies"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

const (
	claimMost = 128      // parts that one statement claims
	withBody  = 32 << 10 // smaller bodies come with the claim
)

// claimQuery leases parts. Rows are found by place (ctid), as they are locked; what is read beside them is read row by row
// (LIMIT), so that no plan made of old statistics reads a whole table.
const claimQuery = `WITH c AS MATERIALIZED (SELECT ` + database.Now + ` AS now), t AS (
	UPDATE parts p SET lease_until = (SELECT now FROM c) + $3::bigint, fence = p.fence + 1, holder = $4, interrupted = p.interrupted OR p.lease_until <> 0
	WHERE p.ctid = ANY(ARRAY(SELECT q.ctid FROM parts q
		WHERE q.state = 0 AND q.lane = $1 AND q.next_at >= $5 AND q.next_at <= (SELECT now FROM c) AND q.lease_until <= (SELECT now FROM c)
		ORDER BY q.next_at, q.message, q.n LIMIT $2 FOR UPDATE SKIP LOCKED))
	RETURNING p.message, p.n, p.next_at, p.size, p.info, p.fence, p.interrupted)
SELECT t.message, t.n, t.next_at, t.size, t.info, t.fence, t.interrupted, m.info, m.crc, b.data,
	NOT EXISTS (SELECT FROM parts o WHERE o.message = t.message AND o.n <> t.n OFFSET 0)
FROM t LEFT JOIN LATERAL (SELECT info, crc FROM messages WHERE id = t.message LIMIT 1) m ON true
	LEFT JOIN LATERAL (SELECT data FROM bodies WHERE message = t.message AND n = 0 AND t.size <= $6 LIMIT 1) b ON true
ORDER BY t.next_at, t.message, t.n`

// Claim implements queue.Queue.
func (s *Store) Claim(ctx context.Context, lane string, most int, d time.Duration) (out []queue.Lease, err error) {
	if err := s.calls.Enter(); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	if err := s.err(); err != nil {
		return nil, err
	}
	for most > 0 && err == nil {
		want := min(most, claimMost)
		var some []*lease
		some, err = s.claim(ctx, lane, want, d)
		for _, l := range some {
			if err := l.decode(); err != nil {
				// It stays leased, so that the lane goes on with the others until the lease ends.
				s.log.Error("queue: skipped a damaged row", "error", err)
				continue
			}
			out = append(out, l)
		}
		if most -= want; len(some) < want {
			break
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, err
}

// claim leases parts by one statement. What was leased when its answer is lost ends by time.
func (s *Store) claim(ctx context.Context, lane string, most int, d time.Duration) (out []*lease, err error) {
	f := s.lanes.of(lane)
	began := time.Now()
	from := f.Begin(began)
	first := min(d, s.lease)
	ctx, cancel := context.WithTimeout(ctx, database.StatementTime)
	defer cancel()
	rows, err := s.pool.Query(ctx, claimQuery, database.Text(lane), most, first.Milliseconds(), s.session, from, withBody)
	if err != nil {
		return nil, database.Describe(err)
	}
	out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (*lease, error) {
		l := &lease{store: s, until: began.Add(d), valid: began.Add(first), row: row.Message{Parts: make([]row.StoredPart, 1)}}
		p := &l.row.Parts[0]
		var info *string
		var crc *int64
		err := r.Scan(&p.Key.Message, &p.Key.N, &p.NextAt, &p.Size, &p.Info, &l.fence, &l.interrupted, &info, &crc, &l.data, &l.sole)
		if info != nil {
			l.row.Info, l.body.CRC = *info, *crc
		}
		p.Lane, l.key = lane, p.Key
		l.row.ID, l.row.Size = p.Key.Message, p.Size
		l.body.ID, l.body.Size = p.Key.Message, p.Size
		return l, err
	})
	if err != nil {
		return nil, database.Describe(err)
	}
	first0 := int64(0)
	if len(out) > 0 {
		first0 = out[0].row.Parts[0].NextAt
	}
	took := time.Since(began)
	s.slowest.Add(began, took)
	f.Learn(began, took, from, first0, len(out) < most)
	s.held.add(out)
	return out, nil
}

// lease is the right to work on a part.
type lease struct {
	store       *Store
	key         row.Key
	fence       int
	interrupted bool
	sole        bool // no other part of the message was there
	row         row.Message
	message     *queue.Message
	body        bodies.Stored
	data        []byte // of the body; nil: it did not come with the claim

	// Guarded by held.mu.
	until time.Time // as its holder asked
	valid time.Time // surely, by this machine's clock
	over  bool
}

// decode makes the message of the row.
func (l *lease) decode() (err error) {
	p := &l.row.Parts[0]
	p.NextAt -= l.store.clock.Ahead()
	if l.message, err = l.row.Decode(); err == nil && l.interrupted {
		l.message.Parts[0].Interrupted = true
	}
	return err
}

func (l *lease) Message() *queue.Message { return l.message }

// Body opens the bytes of the message.
func (l *lease) Body() (queue.Body, error) {
	if l.data != nil {
		if err := l.body.Check(int64(len(l.data)), crc32.Checksum(l.data, bodies.Sum())); err != nil {
			return nil, err
		}
		return bodies.Memory{Reader: bytes.NewReader(l.data)}, nil
	}
	if err := l.store.calls.Enter(); err != nil {
		return nil, err
	}
	defer l.store.calls.Leave()
	return l.store.openBody(context.Background(), &l.body)
}

package postgres

import (
	"context"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// Prune implements queue.History.
func (s *Store) Prune(ctx context.Context, k queue.Keep) (done queue.Pruned, err error) {
	if err := s.calls.Enter(); err != nil {
		return done, err
	}
	defer s.calls.Leave()
	if err := s.err(); err != nil {
		return done, err
	}
	before, err := s.failedBytes(ctx)
	if err != nil {
		return done, err
	}
	if done.Messages, err = s.pruneFailed(ctx, k.FailedAfter.UnixMilli()); err != nil {
		return done, err
	}
	if k.FailedBytes > 0 {
		n, err := s.pruneExcess(ctx, k.FailedBytes)
		if done.Messages += n; err != nil {
			return done, err
		}
	}
	after, err := s.failedBytes(ctx)
	if err != nil {
		return done, err
	}
	done.Bytes = max(0, before-after)
	s.keep.Store(&k.Bodies)
	if err := s.putAwayAll(ctx, k.SentAfter); err != nil {
		return done, err
	}
	if err := s.Keeper.Prune(ctx, k.SentAfter, s.change); err != nil {
		return done, err
	}
	if err := s.Desk.Prune(ctx); err != nil {
		return done, err
	}
	if err := s.Register.Prune(ctx); err != nil {
		return done, err
	}
	return done, s.Book.Prune(ctx, s.now())
}

func (s *Store) failedBytes(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, "SELECT coalesce(sum(size), 0)::bigint FROM parts WHERE state = 2 AND state <> 0").Scan(&n)
	return n, database.Describe(err)
}

// pruneExcess removes the oldest failed parts beyond a number of bytes.
func (s *Store) pruneExcess(ctx context.Context, limit int64) (messages int, err error) {
	const query = `SELECT coalesce(max(next_at), -1) FROM (SELECT next_at, sum(size) OVER (ORDER BY next_at DESC, message DESC, n DESC) AS total
		FROM parts WHERE state = 2 AND state <> 0) x WHERE total > $1`
	var until int64
	if err := s.pool.QueryRow(ctx, query, limit).Scan(&until); err != nil || until < 0 {
		return 0, database.Describe(err)
	}
	return s.pruneFailed(ctx, until+1)
}

func (s *Store) pruneFailed(ctx context.Context, before int64) (messages int, err error) {
	c, err := row.NewChoice(queue.Filter{State: envelope.Failed})
	if err != nil {
		return 0, err
	}
	c.Until = before
	changed, err := s.apply(ctx, c, &action{
		applies: func(p *row.StoredPart) bool { return p.NextAt < before },
		do: func(part *queue.Part, _ *row.StoredPart, _ time.Time) (row.Part, []queue.Record) {
			return row.Part{}, queue.GivenUp(part)
		},
	})
	return changed.Messages, err
}

func (s *Store) bodiesStay() bool {
	k := s.keep.Load()
	return k != nil && k.For > 0
}

const (
	putAwayEvery = time.Second
	putAwayStep  = 500
	aheadMost    = time.Hour // that a time lies in the future and is believed
)

// putAway lets bodies go that are not to stay any longer, until ctx ends.
func (s *Store) putAway(ctx context.Context) {
	tick := time.NewTicker(putAwayEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.bodiesStay() {
			continue
		}
		if err := s.putAwayAll(ctx, time.Time{}); err != nil && ctx.Err() == nil {
			s.log.Warn("queue: could not clean up after finished messages", "error", err)
		}
	}
}

// putAwayQuery removes messages that have ended and are older than $1 or younger than $2, or are beyond a number of messages or
// bytes.
const putAwayQuery = `WITH gone AS (DELETE FROM ended WHERE message = ANY(ARRAY(SELECT message FROM (
			SELECT message, at, row_number() OVER w AS n, sum(size) OVER w AS total FROM ended WINDOW w AS (ORDER BY at DESC, message DESC)) e
		WHERE at <= $1 OR at > $2 OR $3 > 0 AND n > $3 OR $4 > 0 AND total > $4 LIMIT $5)) RETURNING message),
	bodies AS (DELETE FROM bodies USING gone WHERE bodies.message = gone.message)
	DELETE FROM messages USING gone WHERE id = gone.message`

// putAwayAll puts away what has ended and is not to stay, or ended before a time.
func (s *Store) putAwayAll(ctx context.Context, before time.Time) error {
	var k queue.KeepBodies
	if stored := s.keep.Load(); stored != nil {
		k = *stored
	}
	now := s.now()
	for {
		oldest := max(now.Add(-k.For).UnixMilli(), before.UnixMilli())
		if k.For <= 0 {
			oldest = now.Add(1000 * time.Hour).UnixMilli()
		}
		tag, err := s.pool.Exec(ctx, putAwayQuery, oldest, now.Add(aheadMost).UnixMilli(), k.Count, k.Bytes, putAwayStep)
		if err != nil || tag.RowsAffected() < putAwayStep {
			return database.Describe(err)
		}
	}
}

package postgres

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/floor"
	"mailhatch/gateway/queue/row"
)

// lanes is what this process knows of lanes.
type lanes struct {
	mu     sync.Mutex
	served []string
	floors map[string]*floor.Floor
}

func (l *lanes) serve(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served = make([]string, len(names))
	for i, name := range names {
		l.served[i] = database.Text(name)
	}
}

func (l *lanes) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.served...)
}

// of returns the floor of a lane.
func (l *lanes) of(name string) *floor.Floor {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.floors[name]
	if f == nil {
		f = floor.New()
		l.floors[name] = f
	}
	return f
}

// census counts what waits. It reads all parts, so it is taken again only after many times as long as it took.
type census struct {
	mu     sync.Mutex
	until  time.Time // it holds until then
	groups []group
}

type group struct {
	state, parts, bytes, oldest, next int64
	lane                              string
}

const (
	censusFree  = 5 * time.Millisecond // one that costs less is taken each time
	censusShare = 20
)

const censusQuery = `SELECT state, lane, count(*), sum(size)::bigint, min(message), min(greatest(next_at, lease_until)) FROM parts GROUP BY state, lane`

// count returns the census. fresh is false if it is not of this moment.
func (s *Store) count(ctx context.Context) (groups []group, fresh bool, err error) {
	c := &s.census
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if began.Before(c.until) {
		return c.groups, false, nil
	}
	rows, err := s.pool.Query(ctx, censusQuery)
	if err != nil {
		return nil, false, database.Describe(err)
	}
	c.groups, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (g group, err error) {
		err = r.Scan(&g.state, &g.lane, &g.parts, &g.bytes, &g.oldest, &g.next)
		return g, err
	})
	if err != nil {
		return nil, false, database.Describe(err)
	}
	if took := time.Since(began); took > censusFree {
		c.until = began.Add(took * (censusShare + 1))
	}
	return c.groups, true, nil
}

// nextQuery returns when the first part of each lane that is not leased is due. It finds lane after lane by the index.
const nextQuery = `WITH RECURSIVE l(lane) AS (
		(SELECT lane FROM parts WHERE state = 0 ORDER BY lane LIMIT 1)
		UNION ALL SELECT (SELECT p.lane FROM parts p WHERE p.state = 0 AND p.lane > l.lane ORDER BY p.lane LIMIT 1) FROM l WHERE l.lane IS NOT NULL)
	SELECT l.lane, (SELECT next_at FROM parts p WHERE p.state = 0 AND p.lane = l.lane AND p.lease_until <= ` + database.Now + `
		ORDER BY next_at, message, n LIMIT 1) FROM l WHERE l.lane IS NOT NULL`

// Lanes implements queue.Queue.
func (s *Store) Lanes(ctx context.Context) (map[string]queue.Lane, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	groups, fresh, err := s.count(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]queue.Lane{}
	for _, g := range groups {
		if g.state == row.Queued {
			out[g.lane] = queue.Lane{Queued: int(g.parts), NextAt: s.clock.From(g.next)}
		}
	}
	if !fresh {
		if err := s.look(ctx, out); err != nil {
			return nil, err
		}
	}
	served, err := s.served(ctx)
	for name, lane := range out {
		lane.Served = slices.Contains(served, name)
		out[name] = lane
	}
	return out, err
}

// look brings up to date when the next part of each lane can be claimed.
func (s *Store) look(ctx context.Context, of map[string]queue.Lane) error {
	rows, err := s.pool.Query(ctx, nextQuery)
	if err != nil {
		return database.Describe(err)
	}
	type next struct {
		lane string
		at   *int64
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (n next, err error) {
		err = r.Scan(&n.lane, &n.at)
		return n, err
	})
	for _, n := range found {
		l := of[n.lane]
		if l.Queued = max(l.Queued, 1); n.at != nil {
			l.NextAt = s.clock.From(*n.at)
		}
		of[n.lane] = l
	}
	return database.Describe(err)
}

// served returns the lanes that some process delivers that lives.
func (s *Store) served(ctx context.Context) (served []string, err error) {
	err = s.pool.QueryRow(ctx, "SELECT coalesce(array_agg(DISTINCT lane), '{}') FROM sessions, unnest(lanes) lane WHERE seen > "+database.Now+" - $1",
		s.lease.Milliseconds()).Scan(&served)
	return served, database.Describe(err)
}

const (
	watchEvery = 100 * time.Millisecond
	watchAway  = time.Second // while the database is out of reach
)

const watchQuery = `SELECT coalesce(array_agg(l), '{}'), EXISTS (SELECT FROM suppressions) FROM unnest($1::text[]) l
	WHERE EXISTS (SELECT FROM parts WHERE state = 0 AND lane = l AND next_at >= $2 AND next_at <= (SELECT ` + database.Now + `) AND lease_until <= (SELECT ` + database.Now + `))`

// watch signals Changed when mail is due that others have accepted or left, until ctx ends. It asks of lanes whose last
// claim has found their end, as a backlog is claimed without a signal.
func (s *Store) watch(ctx context.Context) {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		next := watchEvery
		var due []string
		some := true
		from := began.Add(-s.lease).UnixMilli() // what is older is found by claims and looks
		if s.lanes.anyFloor() == math.MinInt64 {
			from = math.MinInt64
		}
		if err := s.pool.QueryRow(ctx, watchQuery, s.lanes.names(), from).Scan(&due, &some); err != nil {
			next = watchAway
		}
		s.Learn(some)
		for _, lane := range due {
			if s.lanes.of(lane).TakeDrained() {
				s.signal()
			}
		}
		timer.Reset(max(next, 10*time.Since(began)))
	}
}

// anyFloor returns the highest floor of the lanes that are served.
func (l *lanes) anyFloor() int64 {
	at := int64(math.MinInt64)
	for _, name := range l.names() {
		at = max(at, l.of(name).Begin(time.Now()))
	}
	return at
}

// Hasten makes the queued parts of a lane due now that are due later than after, some in each write.
func (s *Store) Hasten(ctx context.Context, lane string, after time.Time) error {
	if err := s.calls.Enter(); err != nil {
		return err
	}
	defer s.calls.Leave()
	beyond := int64(0)
	if !after.IsZero() {
		beyond = s.clock.To(after.UnixMilli())
	}
	for {
		if err := s.err(); err != nil {
			return err
		}
		tag, err := s.pool.Exec(ctx, hastenQuery, database.Text(lane), hastenStep, beyond)
		if err != nil && !database.IsPassing(err) {
			return database.Describe(err)
		}
		if tag.RowsAffected() > 0 {
			s.lanes.of(lane).Reset()
			s.signal()
		}
		if err == nil && tag.RowsAffected() < hastenStep {
			return nil
		}
	}
}

const hastenStep = 500

const hastenQuery = `WITH c AS MATERIALIZED (SELECT ` + database.Now + ` AS now)
	UPDATE parts SET next_at = (SELECT now FROM c) WHERE ctid = ANY(ARRAY(SELECT ctid FROM parts
		WHERE state = 0 AND lane = $1 AND next_at > greatest((SELECT now FROM c), $3) ORDER BY next_at LIMIT $2 FOR UPDATE))`

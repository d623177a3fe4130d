package postgres

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/floor"
	"mailhatch/gateway/queue/row"
)

// lanes is what this process knows of lanes.
type lanes struct {
	mu      sync.Mutex
	served  []string
	floors  map[string]*floor.Floor
	sharers int // processes that live and have the store open, as of the last sign of life
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

// Lanes implements queue.Queue.
func (s *Store) Lanes(ctx context.Context) (map[string]queue.Lane, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	groups, fresh, err := s.census.Count(ctx, s.pool)
	if err != nil {
		return nil, database.Describe(err)
	}
	out := map[string]queue.Lane{}
	for _, g := range groups {
		if g.State == row.Queued {
			out[g.Lane] = queue.Lane{Queued: int(g.Parts), NextAt: s.clock.From(g.Next)}
		}
	}
	if !fresh {
		next, err := s.census.Next(ctx, s.pool)
		if err != nil {
			return nil, database.Describe(err)
		}
		for _, n := range next {
			lane := out[n.Lane]
			if lane.Queued = max(lane.Queued, 1); n.At != nil {
				lane.NextAt = s.clock.From(*n.At)
			}
			out[n.Lane] = lane
		}
	}
	return out, s.markServed(ctx, out)
}

// markServed says which of the lanes some process delivers. The database is asked for those of others alone.
func (s *Store) markServed(ctx context.Context, out map[string]queue.Lane) (err error) {
	served := s.lanes.names()
	for name := range out {
		if !slices.Contains(served, name) {
			served, err = s.served(ctx)
			break
		}
	}
	for name, lane := range out {
		lane.Served = slices.Contains(served, name)
		out[name] = lane
	}
	return err
}

// served returns the lanes that some process delivers that lives.
func (s *Store) served(ctx context.Context) (served []string, err error) {
	err = s.pool.QueryRow(ctx, "SELECT coalesce(array_agg(DISTINCT lane), '{}') FROM sessions, unnest(lanes) lane WHERE seen > "+database.Now+" - $1",
		s.lease.Milliseconds()).Scan(&served)
	return served, database.Describe(err)
}

const (
	watchEvery = 100 * time.Millisecond
	watchShare = 2 * time.Millisecond // all processes together ask no oftener than that
	watchMost  = 2 * time.Second
	watchAway  = time.Second // while the database is out of reach
)

// WatchRest is how long one of so many processes rests between two questions. The more ask, the sooner one of them does.
func WatchRest(processes int) time.Duration {
	return min(max(watchEvery, time.Duration(processes)*watchShare), watchMost)
}

func (l *lanes) share(processes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sharers = processes
}

// rest returns how long to rest before the next question: some less than WatchRest, so that processes which began at the same
// time do not go on asking at the same time.
func (l *lanes) rest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := WatchRest(l.sharers)
	return most - rand.N(most/8)
}

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
		next := s.lanes.rest()
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

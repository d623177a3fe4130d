package postgres

import (
	"context"
	"fmt"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// Stats implements queue.History.
func (s *Store) Stats(ctx context.Context) (map[envelope.State]queue.Depth, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	if _, fresh, err := s.count(ctx); err != nil {
		return nil, err
	} else if !fresh { // whoever asks wants to know, too, whether the database answers
		if err := s.pool.Ping(ctx); err != nil {
			return nil, database.Describe(err)
		}
	}
	s.census.mu.Lock()
	groups := s.census.groups
	s.census.mu.Unlock()
	depths, oldest := map[envelope.State]queue.Depth{}, map[envelope.State]int64{}
	for _, g := range groups {
		state := row.State(g.state)
		d := depths[state]
		d.Parts += int(g.parts)
		d.Bytes += g.bytes
		depths[state] = d
		if o, ok := oldest[state]; !ok || g.oldest < o {
			oldest[state] = g.oldest
		}
	}
	for state, id := range oldest {
		d := depths[state]
		var received *int64
		if err := s.pool.QueryRow(ctx, "SELECT max(received) FROM messages WHERE id = $1", id).Scan(&received); err != nil {
			return nil, database.Describe(err)
		}
		if received != nil {
			d.Oldest = time.UnixMilli(*received)
		}
		depths[state] = d
	}
	return depths, nil
}

const healthQuery = `SELECT current_setting('fsync') = 'off', current_setting('full_page_writes') = 'off',
	coalesce((SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'parts'::regclass), 0),
	coalesce((SELECT n_live_tup FROM pg_stat_user_tables WHERE relid = 'parts'::regclass), 0),
	coalesce((SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float8 FROM pg_stat_activity
		WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()), 0)`

const (
	snapshotLong = 10 * time.Minute // how old a snapshot is that keeps dead rows and is worth a word
	deadMany     = 200_000
)

// Health implements queue.Engine.
func (s *Store) Health(ctx context.Context) (queue.Health, error) {
	var h queue.Health
	if err := s.calls.Enter(); err != nil {
		return h, err
	}
	defer s.calls.Leave()
	var noSync, noPages bool
	var dead, live int64
	var oldest float64
	err := s.pool.QueryRow(ctx, healthQuery).Scan(&noSync, &noPages, &dead, &live, &oldest)
	if err != nil {
		return h, database.Describe(err)
	}
	note := func(is bool, text string, args ...any) {
		if is {
			h.Notes = append(h.Notes, fmt.Sprintf(text, args...))
		}
	}
	age := time.Duration(oldest * float64(time.Second)).Round(time.Second)
	note(noSync || noPages, "the database server has fsync or full_page_writes off: mail that was accepted can be lost when its machine stops")
	note(age > snapshotLong, "a transaction has been open in the database for %s: rows that are gone stay until it ends (pg_stat_activity says whose it is)", age)
	note(dead > deadMany && dead > 2*live, "the table parts has %d dead rows beside %d: is autovacuum running?", dead, live)
	note(s.schema.Version != s.schema.Own, "the database's schema has version %d, this program knows %d: replace the gateways that are older, or run `mailhatch migrate`",
		s.schema.Version, s.schema.Own)
	return h, nil
}

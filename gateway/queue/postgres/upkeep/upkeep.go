// Package upkeep looks after the tables of a store: what slows them down, and that rows which are gone are removed.
package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailhatch/gateway/queue"
)

// DB is a pool of connections.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const healthQuery = `SELECT current_setting('fsync') = 'off', current_setting('full_page_writes') = 'off',
	coalesce((SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float8 FROM pg_stat_activity
		WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()), 0)`

const tablesQuery = `SELECT relname, n_live_tup, n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables
	WHERE relid IN (to_regclass('parts'), to_regclass('messages'), to_regclass('bodies')) ORDER BY relname`

// What is worth a word.
const (
	snapshotLong = 10 * time.Minute // the age of a snapshot that keeps dead rows
	deadMany     = 200_000          // of a table, where fewer are alive
	claimLong    = time.Second
)

// Ask returns how the database is, whose slowest claim took so long.
func Ask(ctx context.Context, db DB, claim time.Duration) (h queue.Health, err error) {
	var noSync, noPages bool
	var oldest float64
	if err := db.QueryRow(ctx, healthQuery).Scan(&noSync, &noPages, &oldest); err != nil {
		return h, err
	}
	rows, err := db.Query(ctx, tablesQuery)
	if err != nil {
		return h, err
	}
	d := queue.DatabaseHealth{Snapshot: time.Duration(oldest * float64(time.Second)).Round(time.Second), Claim: claim}
	d.Tables, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (t queue.TableHealth, err error) {
		err = r.Scan(&t.Name, &t.Live, &t.Dead, &t.Bytes)
		return t, err
	})
	if err != nil {
		return h, err
	}
	d.Slow = slow(&d)
	if noSync || noPages {
		h.Notes = append(h.Notes, "the database server has fsync or full_page_writes off: mail that was accepted can be lost when its machine stops")
	}
	h.Notes = append(h.Notes, d.Slow...)
	h.Database = &d
	return h, nil
}

// slow returns what slows a database down.
func slow(d *queue.DatabaseHealth) (list []string) {
	note := func(is bool, text string, args ...any) {
		if is {
			list = append(list, fmt.Sprintf(text, args...))
		}
	}
	note(d.Snapshot > snapshotLong, "a transaction has been open in the database for %s: deleted rows cannot be removed until it ends (pg_stat_activity shows whose it is)", d.Snapshot)
	for _, t := range d.Tables {
		note(t.Dead > deadMany && t.Dead > 2*t.Live, "the table %s has %d dead rows beside %d: is autovacuum running?", t.Name, t.Dead, t.Live)
	}
	note(d.Claim > claimLong, "the database took %s to hand out mail that is due", d.Claim.Round(time.Millisecond))
	return list
}

// Slowest remembers the longest of what took long, for one minute and the one before.
type Slowest struct {
	mu     sync.Mutex
	minute int64
	took   [2]time.Duration // of that minute and the one before
}

func (s *Slowest) turn(now time.Time) {
	switch minute := now.Unix() / 60; minute {
	case s.minute:
	case s.minute + 1:
		s.minute, s.took = minute, [2]time.Duration{0, s.took[0]}
	default:
		s.minute, s.took = minute, [2]time.Duration{}
	}
}

// Add adds one.
func (s *Slowest) Add(now time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	s.took[0] = max(s.took[0], took)
}

// Of returns the longest.
func (s *Slowest) Of(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	return max(s.took[0], s.took[1])
}

const (
	vacuumEvery = 15 * time.Second
	vacuumSoon  = 5 * time.Second // after one, or as long as that took: much dies, and a table grows until its room is taken again
	vacuumRest  = 2 * time.Minute // after one that failed, such as for taking too long
)

// vacuums are the tables that are vacuumed, and from how many dead rows on.
func vacuums() []vacuum { return []vacuum{{"parts", 10_000}, {"messages", 20_000}, {"bodies", 20_000}} }

type vacuum struct {
	table string
	dead  int64
}

// Vacuum removes what claims, results and delays leave behind in the table of what waits, which is small and changes all the
// time, and what mail that has gone leaves behind in the others, so that its room is taken again; autovacuum looks at a database
// once a minute at most. Where one is at it already, it is left alone. Runs until ctx ends.
func Vacuum(ctx context.Context, db DB, log *slog.Logger) {
	var work sync.WaitGroup
	for _, v := range vacuums() {
		work.Go(func() { v.repeat(ctx, db, log) })
	}
	work.Wait()
}

func (v *vacuum) repeat(ctx context.Context, db DB, log *slog.Logger) {
	for next := vacuumEvery; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		next = vacuumEvery
		began := time.Now()
		done, err := v.run(ctx, db)
		if err != nil && ctx.Err() == nil {
			log.Debug("queue: could not vacuum a table; the server's autovacuum will do it", "table", v.table, "error", err)
			next = vacuumRest
		} else if done {
			next = max(vacuumSoon, time.Since(began))
		}
	}
}

const deadQuery = `SELECT coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(n_live_tup), 0)::bigint FROM pg_stat_user_tables WHERE relid = to_regclass($1)`

// largeShare is the share of a large table that has to be dead: its indexes are read as a whole.
const largeShare = 20

// run vacuums the table if many of its rows are dead. It does not cut off what is free at the end, for which it would wait for a lock
// that a busy table never gives: new rows take it, and in quiet times the server's own vacuum cuts it off.
func (v *vacuum) run(ctx context.Context, db DB) (done bool, err error) {
	var dead, live int64
	if err := db.QueryRow(ctx, deadQuery, v.table).Scan(&dead, &live); err != nil || dead <= max(v.dead, live/largeShare) {
		return false, err
	}
	_, err = db.Exec(ctx, "VACUUM (SKIP_LOCKED, TRUNCATE false) "+v.table)
	return true, err
}

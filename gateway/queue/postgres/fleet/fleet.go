// Package fleet keeps in PostgreSQL what gateways that share a database know of each other: queue.Fleet.
//
// All is soft: what a crash of the server takes back of turns, places and signs of life is said again within seconds, so
// these writes do not wait for its disk. Notes do: a token that was renewed must not be lost.
package fleet

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailhatch/gateway/queue"
)

// Tables makes the tables where they are missing.
//
//go:embed tables.sql
var Tables string

// DB is a pool of connections.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Fleet is a queue.Fleet.
type Fleet struct {
	db    DB
	name  string
	lease time.Duration
	heard chan struct{} // see Hear
	check time.Duration // hearCheck
}

var _ queue.Fleet = (*Fleet)(nil)

// New returns the fleet of a database as a gateway of that name has it.
func New(db DB, gateway string, lease time.Duration) *Fleet {
	return &Fleet{db: db, name: gateway, lease: lease, heard: make(chan struct{}, 1), check: hearCheck}
}

// soft begins a statement whose commit does not wait for the disk; it must read from soft.
const soft = "WITH soft AS (SELECT set_config('synchronous_commit', 'off', true)) "

// Beat implements queue.Fleet. It also takes away what is of no use any more.
func (f *Fleet) Beat(ctx context.Context, g queue.Gateway) error {
	lanes := g.Lanes
	if lanes == nil {
		lanes = []string{}
	}
	b := &pgx.Batch{}
	b.Queue(soft+`INSERT INTO fleet_gateways (name, version, since, seen, lanes, note)
		SELECT $1, $2, $3, clock_timestamp(), $4, $5 FROM soft
		ON CONFLICT (name) DO UPDATE SET version = excluded.version, since = excluded.since, seen = excluded.seen, lanes = excluded.lanes, note = excluded.note`,
		f.name, g.Version, g.Since, lanes, g.Note)
	kept := queue.GatewayKept.Seconds()
	b.Queue(`DELETE FROM fleet_gateways WHERE name IN (SELECT name FROM fleet_gateways WHERE seen < clock_timestamp() - make_interval(secs => $1) FOR UPDATE SKIP LOCKED)`, kept)
	b.Queue(`DELETE FROM fleet_counts WHERE name IN (SELECT name FROM fleet_counts WHERE ends < clock_timestamp() FOR UPDATE SKIP LOCKED)`)
	b.Queue(`DELETE FROM fleet_locks WHERE name IN (SELECT name FROM fleet_locks WHERE until < clock_timestamp() FOR UPDATE SKIP LOCKED)`)
	// A turn of more than a second ago is as good as none.
	b.Queue(`DELETE FROM fleet_turns WHERE name IN (SELECT name FROM fleet_turns WHERE next < clock_timestamp() - interval '1 second' LIMIT 1000 FOR UPDATE SKIP LOCKED)`)
	b.Queue(`DELETE FROM fleet_places WHERE (name, gateway) IN (SELECT name, gateway FROM fleet_places p
		WHERE NOT EXISTS (SELECT FROM fleet_gateways g WHERE g.name = p.gateway) FOR UPDATE SKIP LOCKED) AND gateway <> $1`, f.name)
	return f.db.SendBatch(ctx, b).Close()
}

// Gateways implements queue.Fleet.
func (f *Fleet) Gateways(ctx context.Context) ([]queue.Gateway, error) {
	rows, err := f.db.Query(ctx, `SELECT name, version, since, seen, lanes, note, seen > clock_timestamp() - make_interval(secs => $1)
		FROM fleet_gateways WHERE seen > clock_timestamp() - make_interval(secs => $2) ORDER BY name COLLATE "C"`, f.lease.Seconds(), queue.GatewayKept.Seconds())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (g queue.Gateway, err error) {
		err = row.Scan(&g.Name, &g.Version, &g.Since, &g.Seen, &g.Lanes, &g.Note, &g.Alive)
		return g, err
	})
}

// Leave implements queue.Fleet.
func (f *Fleet) Leave(ctx context.Context) error {
	_, err := f.db.Exec(ctx, `WITH places AS (DELETE FROM fleet_places WHERE gateway = $1), locks AS (DELETE FROM fleet_locks WHERE holder = $1)
		DELETE FROM fleet_gateways WHERE name = $1`, f.name)
	return err
}

// Take implements queue.Fleet.
func (f *Fleet) Take(ctx context.Context, name string, perSecond float64, n int) (time.Duration, error) {
	span, saved := float64(n)/perSecond, 1.0
	if perSecond < 1 {
		saved = 0
	}
	var wait float64
	err := f.db.QueryRow(ctx, soft+`INSERT INTO fleet_turns AS t (name, next)
		SELECT $1, clock_timestamp() + make_interval(secs => $2::float8 - $3::float8) FROM soft
		ON CONFLICT (name) DO UPDATE SET next = greatest(t.next, clock_timestamp() - make_interval(secs => $3)) + make_interval(secs => $2)
		RETURNING extract(epoch FROM next - clock_timestamp())::float8 - $2`, name, span, saved).Scan(&wait)
	return time.Duration(max(wait, 0) * float64(time.Second)), err
}

// Occupy implements queue.Fleet.
func (f *Fleet) Occupy(ctx context.Context, name string, limit, want, used int) (have int, err error) {
	b := &pgx.Batch{} // one transaction; what the second statement sees is what the lock's last holder has written
	b.Queue(`SELECT set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(hashtextextended('mailhatch places ' || $1, 0))`, name)
	b.Queue(`WITH others AS (
			SELECT coalesce(sum(p.have), 0)::int AS have, coalesce(sum(p.want), 0)::int AS want, (count(*) FILTER (WHERE p.want > 0))::int AS wanting
			FROM fleet_places p JOIN fleet_gateways g ON g.name = p.gateway
			WHERE p.name = $1 AND p.gateway <> $2 AND g.seen > clock_timestamp() - make_interval(secs => $6)
		), mine AS (
			SELECT greatest(0, $5::int, least($4::int, $3::int - have,
				CASE WHEN want + $4::int > $3::int THEN greatest(1, ceil($3::float8 / (wanting + 1))::int) ELSE $4::int END)) AS have FROM others
		)
		INSERT INTO fleet_places (name, gateway, have, want) SELECT $1, $2, have, $4 FROM mine
		ON CONFLICT (name, gateway) DO UPDATE SET have = excluded.have, want = excluded.want RETURNING have`,
		name, f.name, limit, want, used, f.lease.Seconds())
	results := f.db.SendBatch(ctx, b)
	defer func() { err = errors.Join(err, results.Close()) }()
	if _, err = results.Exec(); err != nil {
		return 0, err
	}
	err = results.QueryRow().Scan(&have)
	return have, err
}

// Count implements queue.Fleet.
func (f *Fleet) Count(ctx context.Context, name string, n int, window time.Duration) (count int, end time.Time, err error) {
	if n == 0 {
		err = f.db.QueryRow(ctx, `SELECT coalesce(max(n), 0), coalesce(max(ends), clock_timestamp() + make_interval(secs => $2))
			FROM fleet_counts WHERE name = $1 AND ends > clock_timestamp()`, name, window.Seconds()).Scan(&count, &end)
		return count, end, err
	}
	err = f.db.QueryRow(ctx, `INSERT INTO fleet_counts AS c (name, n, ends) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
		ON CONFLICT (name) DO UPDATE SET n = CASE WHEN c.ends > clock_timestamp() THEN c.n + excluded.n ELSE excluded.n END,
			ends = CASE WHEN c.ends > clock_timestamp() THEN c.ends ELSE excluded.ends END
		RETURNING n, ends`, name, n, window.Seconds()).Scan(&count, &end)
	return count, end, err
}

// Lock implements queue.Fleet.
func (f *Fleet) Lock(ctx context.Context, name string, d time.Duration) (bool, error) {
	tag, err := f.db.Exec(ctx, `INSERT INTO fleet_locks AS l (name, holder, until) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE l.holder = excluded.holder OR l.until <= clock_timestamp()`, name, f.name, d.Seconds())
	return tag.RowsAffected() == 1, err
}

// Unlock implements queue.Fleet.
func (f *Fleet) Unlock(ctx context.Context, name string) error {
	_, err := f.db.Exec(ctx, `DELETE FROM fleet_locks WHERE name = $1 AND holder = $2`, name, f.name)
	return err
}

// Put implements queue.Fleet.
func (f *Fleet) Put(ctx context.Context, name string, value []byte) error {
	if len(value) == 0 {
		_, err := f.db.Exec(ctx, `DELETE FROM fleet_notes WHERE name = $1`, name)
		return err
	}
	_, err := f.db.Exec(ctx, `INSERT INTO fleet_notes AS n (name, value, author, written, version)
		VALUES ($1, $2, $3, clock_timestamp(), nextval('fleet_versions'))
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, author = excluded.author, written = excluded.written,
			version = greatest(n.version + 1, excluded.version)`, name, value, f.name)
	return err
}

// Replace implements queue.Fleet.
func (f *Fleet) Replace(ctx context.Context, name string, value []byte, version int64) (now int64, err error) {
	if version == 0 {
		err = f.db.QueryRow(ctx, `INSERT INTO fleet_notes (name, value, author, written, version)
			VALUES ($1, $2, $3, clock_timestamp(), nextval('fleet_versions')) ON CONFLICT DO NOTHING RETURNING version`, name, value, f.name).Scan(&now)
	} else {
		err = f.db.QueryRow(ctx, `UPDATE fleet_notes SET value = $2, author = $3, written = clock_timestamp(), version = greatest(version + 1, nextval('fleet_versions'))
			WHERE name = $1 AND version = $4 RETURNING version`, name, value, f.name, version).Scan(&now)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return now, err
}

// Notes implements queue.Fleet.
func (f *Fleet) Notes(ctx context.Context, prefix string) ([]queue.Note, error) {
	rows, err := f.db.Query(ctx, `SELECT name, value, author, written, version FROM fleet_notes WHERE starts_with(name, $1) ORDER BY name COLLATE "C"`, prefix)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (n queue.Note, err error) {
		err = row.Scan(&n.Name, &n.Value, &n.By, &n.At, &n.Version)
		return n, err
	})
}

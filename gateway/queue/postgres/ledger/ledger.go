// Package ledger has the tables in which the queue counts what upstreams take, for all gateways that share the database, and
// the lanes that operators have paused.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
)

const (
	// Keep is how long what was counted is kept: far more than the longest window.
	Keep = 400 * 24 * time.Hour
	// openLeast is how old an offer must be before it can be that of a message that is gone: of direct mail the message is
	// stored after the offer, if at all.
	openLeast = 24 * time.Hour
	// countingKept is how long it counts what a gateway named that is not seen any more: far longer than any lease.
	countingKept = 24 * time.Hour
)

// DB is a pool of connections.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Book is the ledger of an open store.
type Book struct {
	DB      DB
	Change  func(ctx context.Context, do func(pgx.Tx) error) error // may call do again, if it was undone
	Gateway string
	Now     func() time.Time
	Signal  func() // after lanes were paused or resumed
}

var _ queue.Quotas = Book{}

const (
	lockQuery   = "SELECT pg_advisory_xact_lock(hashtextextended('mailhatch quota ' || $1, 0))"
	usedQuery   = "SELECT coalesce(sum(n), 0)::int FROM quota_used WHERE upstream = $1 AND at >= $2 AND at < $3"
	openedQuery = "SELECT recipient FROM quota_open WHERE message = $1 AND upstream = $2 AND recipient = ANY($3)"
	openInsert  = "INSERT INTO quota_open (message, upstream, recipient, at) SELECT $1, $2, r, $4 FROM unnest($3::text[]) r"
	addQuery    = `INSERT INTO quota_used AS u (upstream, at, n) VALUES ($1, $2, $3) ON CONFLICT (upstream, at) DO UPDATE SET n = greatest(u.n + excluded.n, 0)`
	takenQuery  = "DELETE FROM quota_open WHERE message = $1 AND upstream = $2 AND recipient = ANY($3)"
	backQuery   = `WITH back AS (DELETE FROM quota_open WHERE message = $1 AND upstream = $2 AND recipient = ANY($3) RETURNING at),
		sums AS (SELECT at, count(*) AS n FROM back GROUP BY at)
		UPDATE quota_used u SET n = greatest(u.n - sums.n, 0) FROM sums WHERE u.upstream = $2 AND u.at = sums.at`
)

// Take implements queue.Quotas. Offers to one upstream are counted one after the other.
func (b Book) Take(ctx context.Context, o queue.Offer) (g queue.Grant, err error) {
	id, err := parseID(o.ID)
	if err == nil {
		err = o.Check()
	}
	if err != nil {
		return g, err
	}
	o.Upstream = database.Text(o.Upstream)
	err = b.Change(ctx, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(ctx, lockQuery, o.Upstream); err != nil {
			return err
		}
		g, err = take(ctx, tx, id, &o)
		return err
	})
	if err != nil {
		return queue.Grant{}, err // it is not committed
	}
	return g, nil
}

func take(ctx context.Context, tx pgx.Tx, id int64, o *queue.Offer) (g queue.Grant, err error) {
	rows, err := tx.Query(ctx, openedQuery, id, o.Upstream, texts(o.To))
	if err != nil {
		return g, err
	}
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return g, err
	}
	for _, to := range o.To {
		if slices.Contains(open, database.Text(to)) {
			g.To, g.Again = append(g.To, to), true
		}
	}
	if g.Used, err = used(ctx, tx, o.Upstream, o.Windows); err != nil || g.Again {
		return g, err
	}
	room := o.Room(g.Used)
	if room == 0 {
		return g, nil
	}
	g.To = o.To[:room]
	at := o.At.Truncate(queue.Quarter).UnixMilli()
	for i := range g.Used {
		g.Used[i] += room
	}
	if _, err := tx.Exec(ctx, openInsert, id, o.Upstream, texts(g.To), at); err != nil {
		return queue.Grant{}, err
	}
	_, err = tx.Exec(ctx, addQuery, o.Upstream, at, room)
	return g, err
}

// texts are the texts of recipients as rows have them.
func texts(to []string) []string {
	out := make([]string, len(to))
	for i := range to {
		out[i] = database.Text(to[i])
	}
	return out
}

type queryRow interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// used adds up what an upstream has taken in each window.
func used(ctx context.Context, db queryRow, upstream string, windows []queue.Window) ([]int, error) {
	out := make([]int, len(windows))
	for i, w := range windows {
		if err := db.QueryRow(ctx, usedQuery, upstream, w.From.UnixMilli(), w.Until.UnixMilli()).Scan(&out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Settle implements queue.Quotas.
func (b Book) Settle(ctx context.Context, s queue.Settlement) error {
	if _, err := parseID(s.ID); err != nil || s.IsEmpty() {
		return err
	}
	return b.Change(ctx, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		if err := Settle(batch, []queue.Settlement{s}); err != nil {
			return err
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// Settle adds statements to a batch that end offers, whose ids are those of their messages.
func Settle(b *pgx.Batch, list []queue.Settlement) error {
	// In one order, so that nobody waits for each other.
	slices.SortFunc(list, func(a, b queue.Settlement) int { return strings.Compare(a.Upstream, b.Upstream) })
	for _, s := range list {
		id, err := parseID(s.ID)
		if err != nil {
			return err
		}
		upstream := database.Text(s.Upstream)
		if len(s.Taken) > 0 {
			b.Queue(takenQuery, id, upstream, texts(s.Taken))
		}
		if len(s.Back) > 0 {
			b.Queue(lockQuery, upstream)
			b.Queue(backQuery, id, upstream, texts(s.Back))
		}
	}
	return nil
}

// Unsettled implements queue.Quotas.
func (b Book) Unsettled(ctx context.Context, upstream, id string) ([]string, error) {
	n, err := parseID(id)
	if err != nil {
		return nil, err
	}
	rows, err := b.DB.Query(ctx, "SELECT recipient FROM quota_open WHERE message = $1 AND upstream = $2", n, database.Text(upstream))
	if err != nil {
		return nil, database.Describe(err)
	}
	to, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return to, database.Describe(err)
}

// Used implements queue.Quotas.
func (b Book) Used(ctx context.Context, upstream string, windows []queue.Window) ([]int, error) {
	out, err := used(ctx, b.DB, database.Text(upstream), windows)
	return out, database.Describe(err)
}

// Counting implements queue.Quotas. A gateway knows by its name what it counted before; of others it counts what they named
// last.
func (b Book) Counting(ctx context.Context, upstreams []string) (before []string, err error) {
	err = b.Change(ctx, func(tx pgx.Tx) error {
		before = nil
		if _, err := tx.Exec(ctx, lockQuery, ""); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM quota_counting c WHERE seen < `+database.Now+` - $1
			AND NOT EXISTS (SELECT FROM sessions s WHERE s.gateway = c.gateway)`, countingKept.Milliseconds()); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT u FROM quota_counting, unnest(upstreams) u GROUP BY u HAVING count(*) = (SELECT count(*) FROM quota_counting)`)
		if err != nil {
			return err
		}
		if before, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO quota_counting (gateway, upstreams, seen) VALUES ($1, $2, `+database.Now+`)
			ON CONFLICT (gateway) DO UPDATE SET upstreams = excluded.upstreams, seen = excluded.seen`, database.Text(b.Gateway), texts(upstreams))
		return err
	})
	return before, err
}

// Prune removes what no window can ask for, and offers of messages that are gone.
func (b Book) Prune(ctx context.Context, now time.Time) error {
	_, used := b.DB.Exec(ctx, "DELETE FROM quota_used WHERE at < $1", now.Add(-Keep).UnixMilli())
	_, open := b.DB.Exec(ctx, "DELETE FROM quota_open WHERE at < $1 AND NOT EXISTS (SELECT FROM parts m WHERE m.message = quota_open.message)", now.Add(-openLeast).UnixMilli())
	return database.Describe(errors.Join(used, open))
}

func parseID(id string) (int64, error) {
	n, ok := queue.ParseID(id)
	if !ok {
		return 0, fmt.Errorf("%w: %q", queue.ErrNotFound, id)
	}
	return n, nil
}

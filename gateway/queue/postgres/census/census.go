// Package census counts what waits in a store, and does so no oftener than it can afford.
package census

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/database"
)

// DB is a pool of connections.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Census counts what waits. It reads all parts, so it is taken again only after many times as long as it took.
type Census struct {
	mu     sync.Mutex
	until  time.Time // it holds until then
	groups []Group
	looked time.Time // next holds until then
	next   []NextPart
}

// NextPart is when the first part of a lane is due that is not leased.
type NextPart struct {
	Lane string
	At   *int64 // milliseconds of the database; nil: all are leased
}

// Group are the parts of a lane in one state.
type Group struct {
	State, Parts, Bytes int64
	Oldest              int64 // message
	Next                int64 // when one can be claimed, in milliseconds of the database
	Lane                string
}

const (
	free  = 5 * time.Millisecond // one that costs less is taken each time
	share = 20
)

const countQuery = `SELECT state, lane, count(*), sum(size)::bigint, min(message), min(greatest(next_at, lease_until)) FROM parts GROUP BY state, lane`

// Count returns the counts. fresh is false if it is not of this moment.
func (c *Census) Count(ctx context.Context, db DB) (groups []Group, fresh bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if began.Before(c.until) {
		return c.groups, false, nil
	}
	rows, err := db.Query(ctx, countQuery)
	if err != nil {
		return nil, false, err
	}
	c.groups, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (g Group, err error) {
		err = r.Scan(&g.State, &g.Lane, &g.Parts, &g.Bytes, &g.Oldest, &g.Next)
		return g, err
	})
	if err != nil {
		return nil, false, err
	}
	if took := time.Since(began); took > free {
		c.until = began.Add(took * (share + 1))
	}
	return c.groups, true, nil
}

// nextQuery returns when the first part of each lane that is not leased is due. It finds lane after lane by the index.
const nextQuery = `WITH RECURSIVE l(lane) AS (
		(SELECT lane FROM parts WHERE state = 0 ORDER BY lane LIMIT 1)
		UNION ALL SELECT (SELECT p.lane FROM parts p WHERE p.state = 0 AND p.lane > l.lane ORDER BY p.lane LIMIT 1) FROM l WHERE l.lane IS NOT NULL)
	SELECT l.lane, (SELECT next_at FROM parts p WHERE p.state = 0 AND p.lane = l.lane AND p.lease_until <= ` + database.Now + `
		ORDER BY next_at, message, n LIMIT 1) FROM l WHERE l.lane IS NOT NULL`

// Next returns when the next part of each lane can be claimed. It, too, is asked again only after many times as long as
// it took, if that was long: the server reads past rows that are gone, while somebody holds a snapshot.
func (c *Census) Next(ctx context.Context, db DB) ([]NextPart, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if began := time.Now(); began.After(c.looked) {
		rows, err := db.Query(ctx, nextQuery)
		if err != nil {
			return nil, err
		}
		c.next, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (n NextPart, err error) {
			err = r.Scan(&n.Lane, &n.At)
			return n, err
		})
		if err != nil {
			return nil, err
		}
		if took := time.Since(began); took > free {
			c.looked = began.Add(took * (share + 1))
		}
	}
	return c.next, nil
}

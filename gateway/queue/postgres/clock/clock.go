// Package clock knows the time of the database, by which mail is due, and makes queue ids.
package clock

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/database"
)

// Clock knows how far the database's clock is ahead of this machine's. What is due is so by the database's; callers speak of
// their own.
type Clock struct{ ahead atomic.Int64 } // milliseconds

// same is a difference that is not worth a correction, in milliseconds.
const same = 50

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Ask compares the clocks.
func (c *Clock) Ask(ctx context.Context, db querier, now func() time.Time) error {
	var at int64
	before := now()
	if err := db.QueryRow(ctx, "SELECT "+database.Now).Scan(&at); err != nil {
		return err
	}
	c.learn(before, now(), at)
	return nil
}

// learn takes a time of the database that was asked for between two of this machine. A difference within what the
// question took is none.
func (c *Clock) learn(before, after time.Time, at int64) {
	switch {
	case at < before.UnixMilli()-same:
		c.ahead.Store(at - before.UnixMilli())
	case at > after.UnixMilli()+same:
		c.ahead.Store(at - after.UnixMilli())
	default:
		c.ahead.Store(0)
	}
}

// To returns a time of this machine as one of the database, in milliseconds; From the other way; Ahead the difference.
func (c *Clock) To(ms int64) int64       { return ms + c.ahead.Load() }
func (c *Clock) From(ms int64) time.Time { return time.UnixMilli(ms - c.ahead.Load()) }

// Ahead returns how far the database's clock is ahead, in milliseconds.
func (c *Clock) Ahead() int64 { return c.ahead.Load() }

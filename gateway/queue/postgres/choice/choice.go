// Package choice reads the messages that a filter names.
package choice

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// DB is a pool of connections, or a transaction.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Next returns up to so many further messages that may have a part of the choice, in order.
func Next(ctx context.Context, db DB, c *row.Choice, want int) ([]int64, error) {
	return c.Next(want, func() ([]int64, error) {
		sql, args := query(c, want)
		rows, err := db.Query(ctx, sql, args...)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[int64])
	})
}

func query(c *row.Choice, want int) (sql string, args []any) {
	where, order := "message > $1", ""
	if c.Newest {
		where, order = "message < $1", " DESC"
	}
	args = []any{c.After}
	add := func(term string, arg any) {
		args = append(args, arg)
		where += " AND " + term + strconv.Itoa(len(args))
	}
	if c.Filter.State != "" {
		where += " AND state = " + strconv.FormatInt(c.Code, 10) // not an argument: the indexes are of one state
	}
	if c.Filter.Lane != "" {
		add("lane = $", database.Text(c.Filter.Lane))
	}
	if c.Until != 0 {
		add("next_at < $", c.Until)
	}
	return "SELECT DISTINCT message FROM parts WHERE " + where + " ORDER BY message" + order + " LIMIT " + strconv.Itoa(want), args
}

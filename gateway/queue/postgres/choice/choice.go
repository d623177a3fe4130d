// Package choice goes through the messages that a filter names.
package choice

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// DB is a pool of connections, or a transaction.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Choice is a filter that is ready for use on the rows. It goes through the messages once.
type Choice struct {
	Filter queue.Filter
	code   int64   // of its state
	ids    []int64 // that it names, in order
	newest bool    // first
	After  int64   // messages up to this one have been chosen
	Until  int64   // parts that came into its state before; 0: all
}

// New returns the choice of a filter.
func New(f queue.Filter) (*Choice, error) {
	c := &Choice{Filter: f, After: -1}
	var ok bool
	if c.code, ok = row.Code(f.State); f.State != "" && (!ok || c.code > row.Failed) {
		return nil, fmt.Errorf("queue: no message waits in state %q", f.State)
	}
	for _, text := range f.IDs {
		if id, ok := queue.ParseID(text); ok {
			c.ids = append(c.ids, id)
		}
	}
	slices.Sort(c.ids)
	c.ids = slices.Compact(c.ids)
	return c, nil
}

// FromNewest turns the order around.
func (c *Choice) FromNewest() {
	c.newest, c.After = true, math.MaxInt64
	slices.Reverse(c.ids)
}

// Next returns up to so many further messages that may have a part of the choice, in order.
func (c *Choice) Next(ctx context.Context, db DB, want int) (ids []int64, err error) {
	if c.Filter.IDs != nil {
		from := slices.IndexFunc(c.ids, func(id int64) bool { return id != c.After && id < c.After == c.newest })
		if from >= 0 {
			ids = c.ids[from:min(from+want, len(c.ids))]
		}
	} else {
		sql, args := c.query(want)
		rows, err := db.Query(ctx, sql, args...)
		if err != nil {
			return nil, err
		}
		if ids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return nil, err
		}
	}
	if len(ids) > 0 {
		c.After = ids[len(ids)-1]
	}
	return ids, nil
}

func (c *Choice) query(want int) (sql string, args []any) {
	where, order := "message > $1", ""
	if c.newest {
		where, order = "message < $1", " DESC"
	}
	args = []any{c.After}
	add := func(term string, arg any) {
		args = append(args, arg)
		where += " AND " + term + strconv.Itoa(len(args))
	}
	if c.Filter.State != "" {
		where += " AND state = " + strconv.FormatInt(c.code, 10) // not an argument: the indexes are of one state
	}
	if c.Filter.Lane != "" {
		add("lane = $", database.Text(c.Filter.Lane))
	}
	if c.Until != 0 {
		add("next_at < $", c.Until)
	}
	return "SELECT DISTINCT message FROM parts WHERE " + where + " ORDER BY message" + order + " LIMIT " + strconv.Itoa(want), args
}

package sqlite

import (
	"cmp"
	"context"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
)

// listStep is how many messages are read in one transaction.
const listStep = 500

// List returns messages that are in the queue, oldest or newest first, each with all of its parts. The page after a
// full one starts after its last id.
func (r *reader) List(ctx context.Context, f queue.Filter, p queue.Page) (out []queue.Message, err error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	c, err := row.NewPage(f, p)
	if err != nil {
		return nil, err
	}
	for {
		want := listStep
		if p.Limit > 0 {
			want = min(want, p.Limit-len(out))
		}
		ids, page, err := r.page(ctx, c, want)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		if ids < want || p.Limit > 0 && len(out) >= p.Limit {
			return out, ctx.Err()
		}
	}
}

// page reads up to so many further messages in one snapshot. ids is how many were looked at.
func (r *reader) page(ctx context.Context, c *row.Choice, want int) (ids int, page []queue.Message, err error) {
	err = r.use(ctx, func(conn *sqlite.Conn) (err error) {
		defer sqlitex.Transaction(conn)(&err)
		next, err := nextOf(conn, c, want)
		ids = len(next)
		for _, id := range next {
			_, m, err := readMessage(conn, id)
			if err != nil {
				return err
			}
			if m != nil && c.Chooses(m) {
				page = append(page, *m)
			}
		}
		return err
	})
	return ids, page, err
}

// nextOf returns up to so many further messages that may have a part of the choice, in order.
func nextOf(conn *sqlite.Conn, c *row.Choice, want int) ([]int64, error) {
	return c.Next(want, func() (ids []int64, err error) {
		query, params := queryOf(c, want)
		err = database.Rows(conn, query, params, func(s *sqlite.Stmt) (bool, error) {
			ids = append(ids, s.ColumnInt64(0))
			return true, nil
		})
		return ids, err
	})
}

func queryOf(c *row.Choice, want int) (string, database.Args) {
	table, where, order, params := "parts", "message > ?", "", database.Args{c.After}
	if c.Newest {
		where, order = "message < ?", " DESC"
	}
	add := func(term string, param any) { where, params = where+" AND "+term, append(params, param) }
	if c.Filter.State != "" {
		add("state = ?", c.Code)
	}
	if c.Filter.State != "" && c.Code != row.Queued {
		// Few parts are held or failed: they have an index of their own.
		table, where = "parts INDEXED BY parts_rest", where+" AND state <> 0"
	}
	if c.Filter.Lane != "" {
		add("lane = ?", c.Filter.Lane)
	}
	if c.Until != 0 {
		add("next_at < ?", c.Until)
	}
	return "SELECT DISTINCT message FROM " + table + " WHERE " + where + " ORDER BY message" + order + " LIMIT ?", append(params, want)
}

// readMessage reads a message with all of its parts; nil where there is none.
func readMessage(conn *sqlite.Conn, id int64) (found *row.Message, m *queue.Message, err error) {
	err = database.Rows(conn, "SELECT info, size FROM messages WHERE id = ?",
		database.Args{id},
		func(s *sqlite.Stmt) (bool, error) {
			found = &row.Message{ID: id, Info: s.ColumnText(0), Size: s.ColumnInt64(1)}
			return false, nil
		})
	if err != nil || found == nil {
		return nil, nil, err
	}
	err = database.Rows(conn, "SELECT state, lane, next_at, size, info, n FROM parts WHERE message = ? ORDER BY n",
		database.Args{id},
		func(s *sqlite.Stmt) (bool, error) {
			found.Parts = append(found.Parts, scanPart(s, row.Key{Message: id, N: s.ColumnInt64(5)}))
			return true, nil
		})
	if err == nil {
		m, err = found.Decode()
	}
	return found, m, err
}

const aheadQuery = `SELECT next_at, message FROM parts INDEXED BY parts_due
	WHERE state = 0 AND lane = ?||'' ORDER BY next_at, message, n LIMIT ?`

// Ahead counts the parts before each place in one pass over the index.
func (r *reader) Ahead(ctx context.Context, lane string, places []queue.Place, most int) ([]int, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	type place struct {
		at, id int64
		n      int // in places
	}
	open := make([]place, len(places))
	for i, p := range places {
		id, _ := queue.ParseID(p.ID)
		open[i] = place{p.NextAt.UnixMilli(), id, i}
	}
	slices.SortFunc(open, func(a, b place) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	out, seen := make([]int, len(places)), 0
	err := r.use(ctx, func(conn *sqlite.Conn) error {
		return database.Rows(conn, aheadQuery, database.Args{lane, most}, func(s *sqlite.Stmt) (bool, error) {
			at, id := s.ColumnInt64(0), s.ColumnInt64(1)
			for len(open) > 0 && (at > open[0].at || at == open[0].at && id >= open[0].id) {
				out[open[0].n], open = seen, open[1:]
			}
			seen++
			return len(open) > 0, nil
		})
	})
	for _, p := range open {
		out[p.n] = seen
	}
	return out, err
}

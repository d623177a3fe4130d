package sqlite

import (
	"context"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
)

// listStep is how many messages are read in one transaction.
const listStep = 500

// List returns messages that are in the queue, oldest first, each with all of its parts. The page after a
// full one starts after its last id.
func (r *reader) List(ctx context.Context, f queue.Filter, p queue.Page) (out []queue.Message, err error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	c, err := newChoice(f)
	if err != nil {
		return nil, err
	}
	if p.After != "" {
		var ok bool
		if c.after, ok = queue.ParseID(p.After); !ok {
			return nil, fmt.Errorf("queue: %q is not a queue id", p.After)
		}
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
func (r *reader) page(ctx context.Context, c *choice, want int) (ids int, page []queue.Message, err error) {
	err = r.use(ctx, func(conn *sqlite.Conn) error {
		end, err := begin(conn)
		if err != nil {
			return err
		}
		defer end()
		next, err := c.next(conn, want)
		ids = len(next)
		for _, id := range next {
			_, m, err := readMessage(conn, id)
			if err != nil {
				return err
			}
			named := func(p queue.Part) bool { return len(c.filter.Names(m, &p)) > 0 }
			if m != nil && slices.ContainsFunc(m.Parts, named) {
				page = append(page, *m)
			}
		}
		return err
	})
	return ids, page, err
}

// choice is a filter that is ready for use on the rows. It goes through the messages once.
type choice struct {
	filter queue.Filter
	code   int64   // of its state
	ids    []int64 // that it names, in order
	after  int64   // messages up to this one have been chosen
}

func newChoice(f queue.Filter) (*choice, error) {
	c := &choice{filter: f, after: -1}
	var ok bool
	if c.code, ok = codeOf(f.State); f.State != "" && (!ok || c.code > codeFailed) {
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

// next returns up to so many further messages that may have a part of the choice, in order.
func (c *choice) next(conn *sqlite.Conn, want int) (ids []int64, err error) {
	if c.filter.IDs != nil {
		from, _ := slices.BinarySearch(c.ids, c.after+1)
		ids = c.ids[from:min(from+want, len(c.ids))]
	} else {
		err = rows(conn, c.query(),
			args{c.after, int64(want), c.code, c.filter.Lane},
			func(s *sqlite.Stmt) (bool, error) {
				ids = append(ids, s.ColumnInt64(0))
				return true, nil
			})
	}
	if len(ids) > 0 {
		c.after = ids[len(ids)-1]
	}
	return ids, err
}

func (c *choice) query() string {
	table, where := "parts", ""
	switch f := &c.filter; {
	case f.State == "" && f.Lane == "":
		return "SELECT id FROM messages WHERE id > ?1 AND ?3 = ?3 AND ?4 = ?4 ORDER BY id LIMIT ?2"
	case f.State != "" && c.code != codeQueued:
		// Few parts are held or failed: they have an index of their own.
		table, where = "parts INDEXED BY parts_rest", " AND state <> 0 AND state = ?3"
	case f.State != "":
		where = " AND state = ?3"
	default:
		where = " AND ?3 = ?3"
	}
	if c.filter.Lane == "" {
		where += " AND ?4 = ?4"
	} else {
		where += " AND lane = ?4"
	}
	return "SELECT DISTINCT message FROM " + table + " WHERE message > ?1" + where + " ORDER BY message LIMIT ?2"
}

// readMessage reads a message with all of its parts; nil where there is none.
func readMessage(conn *sqlite.Conn, id int64) (row *messageRow, m *queue.Message, err error) {
	err = rows(conn, "SELECT info, size FROM messages WHERE id = ?",
		args{id},
		func(s *sqlite.Stmt) (bool, error) {
			row = &messageRow{id: id, info: s.ColumnText(0), size: s.ColumnInt64(1)}
			return false, nil
		})
	if err != nil || row == nil {
		return nil, nil, err
	}
	err = rows(conn, "SELECT state, lane, next_at, size, info, n FROM parts WHERE message = ? ORDER BY n",
		args{id},
		func(s *sqlite.Stmt) (bool, error) {
			row.parts = append(row.parts, scanPart(s, partKey{id, s.ColumnInt64(5)}))
			return true, nil
		})
	if err == nil {
		m, err = row.message()
	}
	return row, m, err
}

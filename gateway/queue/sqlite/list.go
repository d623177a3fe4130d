package sqlite

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
)

// listStep is how many messages are read in one transaction.
const listStep = 500

// List returns messages that are in the queue, oldest first, each with all of its parts. With State
// and Lane set, one part must answer to both. The page after a full one starts after its last id.
func (r *reader) List(ctx context.Context, f queue.Filter) ([]queue.Message, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	after := int64(-1)
	if f.After != "" {
		id, ok := parseID(f.After)
		if !ok {
			return nil, fmt.Errorf("queue: %q is not a queue id", f.After)
		}
		after = id
	}
	pick, err := r.picker(f, after)
	if err != nil {
		return nil, err
	}
	var out []queue.Message
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		want := listStep
		if f.Limit > 0 {
			want = min(want, f.Limit-len(out))
		}
		ids, page, err := r.page(ctx, pick, want)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		if ids < want || (f.Limit > 0 && len(out) >= f.Limit) {
			return out, nil
		}
	}
}

// page reads the next messages in one snapshot. ids is how many the picker found.
func (r *reader) page(ctx context.Context, pick picker, want int) (ids int, page []queue.Message, err error) {
	var found []messageRow
	err = r.use(ctx, func(conn *sqlite.Conn) error {
		end, err := begin(conn)
		if err != nil {
			return err
		}
		defer end()
		chosen, err := pick(conn, want)
		if err != nil {
			return err
		}
		ids = len(chosen)
		for _, id := range chosen {
			row, ok, err := readMessage(conn, id)
			if err != nil {
				return err
			}
			if ok {
				found = append(found, row)
			}
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	for i := range found {
		m, err := found[i].message()
		if err != nil {
			return 0, nil, describe(r.path, err)
		}
		page = append(page, *m)
	}
	return ids, page, nil
}

// picker gives the ids of up to want more messages, in order.
type picker func(conn *sqlite.Conn, want int) ([]int64, error)

// picker makes the picker of a filter.
func (r *reader) picker(f queue.Filter, after int64) (picker, error) {
	match, err := partMatch(f)
	if err != nil {
		return nil, err
	}
	if f.IDs != nil {
		return pickNamed(f, after, match), nil
	}
	query := "SELECT id FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2"
	switch code, _ := codeOf(f.State); {
	case f.State != "" && code != codeQueued:
		// Few parts are held or failed: they have an index of their own.
		query = "SELECT DISTINCT message FROM parts INDEXED BY parts_rest WHERE state <> 0 AND message > ?1 AND " + match.where + " ORDER BY message LIMIT ?2"
	case match.where != "":
		query = "SELECT DISTINCT message FROM parts WHERE message > ?1 AND " + match.where + " ORDER BY message LIMIT ?2"
	}
	return func(conn *sqlite.Conn, want int) (ids []int64, err error) {
		err = rows(conn, query,
			func(s *sqlite.Stmt) {
				s.BindInt64(1, after)
				s.BindInt64(2, int64(want))
				match.bind(s)
			},
			func(s *sqlite.Stmt) (bool, error) {
				after = s.ColumnInt64(0)
				ids = append(ids, after)
				return true, nil
			})
		return ids, err
	}, nil
}

// pickNamed is the picker of a filter with ids.
func pickNamed(f queue.Filter, after int64, match partCondition) picker {
	var named []int64
	for _, text := range f.IDs {
		if id, ok := parseID(text); ok && id > after {
			named = append(named, id)
		}
	}
	sort.Slice(named, func(i, j int) bool { return named[i] < named[j] })
	query := "SELECT 1 FROM messages WHERE id = ?1 AND ?2 = ?2"
	if match.where != "" {
		query = "SELECT 1 FROM parts WHERE message = ?1 AND ?2 = ?2 AND " + match.where + " LIMIT 1"
	}
	last := int64(-1)
	return func(conn *sqlite.Conn, want int) (ids []int64, err error) {
		for len(named) > 0 && len(ids) < want && err == nil {
			id := named[0]
			named = named[1:]
			if id == last {
				continue
			}
			last = id
			err = rows(conn, query,
				func(s *sqlite.Stmt) {
					s.BindInt64(1, id)
					s.BindInt64(2, 0)
					match.bind(s)
				},
				func(*sqlite.Stmt) (bool, error) {
					ids = append(ids, id)
					return false, nil
				})
		}
		return ids, err
	}
}

// partCondition is what a filter asks of a part, from parameter 3 on.
type partCondition struct {
	where string
	bind  func(*sqlite.Stmt)
}

func partMatch(f queue.Filter) (partCondition, error) {
	var terms []string
	var code int64
	if f.State != "" {
		var ok bool
		if code, ok = codeOf(f.State); !ok || code > codeFailed {
			return partCondition{}, fmt.Errorf("queue: no message waits in state %q", f.State)
		}
		terms = append(terms, "state = ?3")
	}
	if f.Lane != "" {
		terms = append(terms, "lane = ?4")
	}
	return partCondition{strings.Join(terms, " AND "), func(s *sqlite.Stmt) {
		if f.State != "" {
			s.BindInt64(3, code)
		}
		if f.Lane != "" {
			s.BindText(4, f.Lane)
		}
	}}, nil
}

// readMessage reads a message with all of its parts.
func readMessage(conn *sqlite.Conn, id int64) (row messageRow, ok bool, err error) {
	err = rows(conn, "SELECT info, size FROM messages WHERE id = ?",
		func(s *sqlite.Stmt) { s.BindInt64(1, id) },
		func(s *sqlite.Stmt) (bool, error) {
			row, ok = messageRow{id: id, info: s.ColumnText(0), size: s.ColumnInt64(1)}, true
			return false, nil
		})
	if err == nil && ok {
		row.parts, err = readParts(conn, id)
	}
	return row, ok, err
}

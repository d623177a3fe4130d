package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
)

// Stats counts parts by state. It does not look at all rows, so that it may be asked often.
func (s *Store) Stats(ctx context.Context) (map[envelope.State]queue.Depth, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.oldest(ctx, s.counts.States())
}

// oldest adds to each depth when the oldest of its messages was accepted.
func (r *reader) oldest(ctx context.Context, depths map[envelope.State]queue.Depth) (map[envelope.State]queue.Depth, error) {
	err := r.use(ctx, func(conn *sqlite.Conn) error {
		for state, d := range depths {
			code, _ := row.Code(state)
			query := "SELECT received FROM messages WHERE id = (SELECT message FROM parts WHERE state = ?1 ORDER BY message LIMIT 1)"
			if code != row.Queued {
				query = "SELECT received FROM messages WHERE id = (SELECT min(message) FROM parts INDEXED BY parts_rest WHERE state <> 0 AND state = ?1)"
			}
			err := database.Rows(conn, query, database.Args{code}, func(s *sqlite.Stmt) (bool, error) {
				d.Oldest = time.UnixMilli(s.ColumnInt64(0))
				return false, nil
			})
			if err != nil {
				return err
			}
			depths[state] = d
		}
		return nil
	})
	return depths, err
}

// Health implements queue.Engine.
func (s *Store) Health(context.Context) (queue.Health, error) {
	if err := s.enter(); err != nil {
		return queue.Health{}, err
	}
	defer s.leave()
	h := queue.Health{Unclean: s.unclean, LogBytes: s.logBytes.Load()}
	if err := s.checkLog(); err != nil {
		h.Notes = append(h.Notes, err.Error())
	} else if h.LogBytes > logLong*s.walSoft.Load() {
		h.Notes = append(h.Notes, fmt.Sprintf("%s-wal has %d bytes and grows: a query, or another program, reads the database", s.path, h.LogBytes))
	}
	return h, aside(s.dir, &h)
}

// Fleet implements queue.Engine: nobody else can have the store open.
func (s *Store) Fleet() queue.Fleet { return nil }

// aside counts what was set aside.
func aside(dir string, h *queue.Health) error {
	names, err := lostFound(dir).List()
	h.Aside, h.AsideDir = len(names), string(lostFound(dir))
	return err
}

// Health implements queue.Reader.
func (r readOnly) Health(context.Context) (queue.Health, error) {
	if err := r.enter(); err != nil {
		return queue.Health{}, err
	}
	defer r.leave()
	state, err := inspect(r.dir, r.path)
	if err != nil {
		return queue.Health{}, err
	}
	h := queue.Health{Unclean: state.Unclean, LogBytes: state.Log.Bytes}
	if err := sound(&state, r.path); err != nil {
		h.Notes = append(h.Notes, err.Error())
	}
	return h, aside(r.dir, &h)
}

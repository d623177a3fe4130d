package sqlite

import (
	"context"
	"fmt"
	"math"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/row"
)

// Search returns what became of recipients, the latest recorded first. Its records are read in steps.
func (r *reader) Search(ctx context.Context, f queue.HistoryFilter) ([]queue.Record, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	scan := historyScan{filter: &f, before: math.MaxInt64}
	if f.ID != "" {
		var ok bool
		if scan.message, ok = queue.ParseID(f.ID); !ok {
			return nil, fmt.Errorf("queue: %q is not a queue id", f.ID)
		}
	}
	if !f.Since.IsZero() {
		scan.since = f.Since.UnixMilli()
	}
	var out []queue.Record
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var found []row.Record
		var more bool
		err := r.use(ctx, func(conn *sqlite.Conn) (err error) {
			found, more, err = scan.step(conn)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range found {
			rec, err := found[i].Decode()
			if err != nil {
				return nil, database.Describe(r.path, err)
			}
			out = append(out, rec)
			if f.Limit > 0 && len(out) == f.Limit {
				return out, nil
			}
		}
		if !more {
			return out, nil
		}
	}
}

// historyScan goes through the history from the latest record on.
type historyScan struct {
	filter  *queue.HistoryFilter
	before  int64 // seq of the last record seen
	message int64 // 0: all
	since   int64
}

// step looks at the next records. more is false when the rest cannot match.
func (h *historyScan) step(conn *sqlite.Conn) (found []row.Record, more bool, err error) {
	which := "WHERE seq < ?1 AND ?3 = ?3"
	if h.message != 0 {
		which = "INDEXED BY history_message WHERE seq < ?1 AND message = ?3"
	}
	query := "SELECT seq, at, message, state, sender, recipient, info FROM history " + which + " ORDER BY seq DESC LIMIT ?2"
	seen, recent := 0, 0
	err = database.Rows(conn, query,
		database.Args{h.before, historyStep, h.message},
		func(s *sqlite.Stmt) (bool, error) {
			seen++
			h.before = s.ColumnInt64(0)
			at := s.ColumnInt64(1)
			if at < h.since {
				return true, nil
			}
			recent++
			sender, recipient := s.ColumnText(4), s.ColumnText(5)
			if h.filter.Names(sender, recipient) {
				found = append(found, row.Record{
					At: at, Message: s.ColumnInt64(2), State: s.ColumnInt64(3),
					Sender: sender, Recipient: recipient, Info: s.ColumnText(6),
				})
			}
			return h.filter.Limit == 0 || len(found) < h.filter.Limit, nil
		})
	// Records stand in the order of their writing, which is that of their times but for clocks that
	// were set; a whole step of older ones is the end.
	return found, seen == historyStep && recent > 0, err
}

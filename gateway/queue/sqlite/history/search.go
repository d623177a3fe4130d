package history

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/row"
)

// step is how many records are looked at at once.
const step = 1000

// Search returns what became of recipients, the latest recorded first. Its records are read in steps.
func (k *Keeper) Search(ctx context.Context, f queue.HistoryFilter) (out []queue.Record, err error) {
	scan := scan{filter: &f, before: math.MaxInt64}
	if f.ID != "" {
		var ok bool
		if scan.message, ok = queue.ParseID(f.ID); !ok {
			return nil, fmt.Errorf("queue: %q is not a queue id", f.ID)
		}
	}
	if f.After != "" {
		if scan.before, err = strconv.ParseInt(f.After, 36, 64); err != nil {
			return nil, fmt.Errorf("queue: %q is not a place in the history", f.After)
		}
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := k.Read(ctx, func(conn *sqlite.Conn) (err error) {
			more, err = scan.step(conn)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return scan.found, nil
}

// scan goes through the history from the latest record on.
type scan struct {
	filter  *queue.HistoryFilter
	before  int64 // seq of the last record seen
	message int64 // 0: all
	found   []queue.Record
}

// step looks at the next records. more is false when the rest cannot match or is not wanted.
func (h *scan) step(conn *sqlite.Conn) (more bool, err error) {
	which := "WHERE seq < ?1 AND ?3 = ?3"
	if h.message != 0 {
		which = "INDEXED BY history_message WHERE seq < ?1 AND message = ?3"
	}
	query := "SELECT seq, at, message, state, sender, recipient, info FROM history " + which + " ORDER BY seq DESC LIMIT ?2"
	since := int64(math.MinInt64)
	if !h.filter.Since.IsZero() {
		since = h.filter.Since.UnixMilli()
	}
	seen, recent := 0, 0
	err = database.Rows(conn, query, database.Args{h.before, step, h.message}, func(s *sqlite.Stmt) (bool, error) {
		seen++
		h.before = s.ColumnInt64(0)
		at := s.ColumnInt64(1)
		if at < since {
			return true, nil
		}
		recent++
		found := row.Record{
			At: at, Message: s.ColumnInt64(2), State: s.ColumnInt64(3), Sender: s.ColumnText(4), Recipient: s.ColumnText(5), Info: s.ColumnText(6),
		}
		rec, err := found.Decode()
		if err != nil {
			return false, err
		}
		if h.filter.Matches(&rec) {
			rec.Key = strconv.FormatInt(h.before, 36)
			h.found = append(h.found, rec)
		}
		return h.filter.Limit == 0 || len(h.found) < h.filter.Limit, nil
	})
	// Records stand in the order of their writing, which is that of their times but for clocks that
	// were set; a whole step of older ones is the end.
	return seen == step && recent > 0 && (h.filter.Limit == 0 || len(h.found) < h.filter.Limit), err
}

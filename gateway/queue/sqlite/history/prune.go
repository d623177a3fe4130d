package history

import (
	"context"
	"math"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue/sqlite/database"
)

// Prune removes records that are older, and the events of messages of which nothing else is left. It goes through the
// history from its oldest records, and ends at the first step of which all are younger, unless those lie in the future
// because a clock was wrong.
func (k Keeper) Prune(ctx context.Context, older time.Time) error {
	before, after := older.UnixMilli(), int64(math.MinInt64)
	for ctx.Err() == nil {
		var r stretch
		err := k.Write(ctx, 1, func(conn *sqlite.Conn) (err error) {
			if r, err = stretchFrom(conn, after, before); err != nil || len(r.old) == 0 {
				return err
			}
			err = database.Exec(conn, "DELETE FROM history WHERE seq > ? AND seq <= ? AND at < ?", database.Args{after, r.last, before})
			for id := range r.old {
				if err == nil {
					err = database.Exec(conn, forgetQuery, database.Args{id})
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		if r.count < pruneStep || (len(r.old) == 0 && r.newest <= k.Now().UnixMilli()) {
			return nil
		}
		after = r.last
	}
	return ctx.Err()
}

// pruneStep is how many records are looked at in one step.
const pruneStep = 500

const forgetQuery = `DELETE FROM events WHERE message = ?1
	AND NOT EXISTS (SELECT 1 FROM history WHERE message = ?1) AND NOT EXISTS (SELECT 1 FROM parts WHERE message = ?1)`

// stretch is what a step of Prune looks at.
type stretch struct {
	count        int            // records
	old          map[int64]bool // messages of those that are old
	last, newest int64          // seq of the last; greatest time
}

func stretchFrom(conn *sqlite.Conn, after, before int64) (r stretch, err error) {
	r = stretch{old: map[int64]bool{}, newest: math.MinInt64}
	err = database.Rows(conn, "SELECT seq, at, message FROM history WHERE seq > ? ORDER BY seq LIMIT ?", database.Args{after, pruneStep}, func(s *sqlite.Stmt) (bool, error) {
		at := s.ColumnInt64(1)
		r.count++
		r.last, r.newest = s.ColumnInt64(0), max(r.newest, at)
		if at < before {
			r.old[s.ColumnInt64(2)] = true
		}
		return true, nil
	})
	return r, err
}

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
// because a clock was wrong. What is kept of messages goes with their last record.
func (k *Keeper) Prune(ctx context.Context, older time.Time) error {
	before, after := older.UnixMilli(), int64(math.MinInt64)
	if err := k.putAwayAll(ctx, older); err != nil {
		return err
	}
	for ctx.Err() == nil {
		var r stretch
		err := k.Write(ctx, 1, func(conn *sqlite.Conn) (err error) {
			if r, err = stretchFrom(conn, after, before); err != nil || len(r.old) == 0 {
				return err
			}
			return r.remove(conn, after, before)
		})
		if err != nil {
			return err
		}
		if r.count < pruneStep || (len(r.old) == 0 && r.newest <= k.Now().UnixMilli()) {
			return k.pruneSheets(ctx)
		}
		after = r.last
	}
	return ctx.Err()
}

// pruneStep is how many records are looked at in one step.
const pruneStep = 500

const (
	forgetFinished = "DELETE FROM finished WHERE message = ?1 AND NOT EXISTS (SELECT 1 FROM history WHERE message = ?1)"
	forgetEvents   = `DELETE FROM events WHERE message = ?1
	AND NOT EXISTS (SELECT 1 FROM history WHERE message = ?1) AND NOT EXISTS (SELECT 1 FROM parts WHERE message = ?1)`
)

// stretch is what a step of Prune looks at.
type stretch struct {
	count        int            // records
	old          map[int64]bool // messages of those that are old
	last, newest int64          // seq of the last; greatest time
}

// stretchQuery leaves records alone whose message is not put away: it is found by them.
const stretchQuery = `SELECT seq, at, message FROM history
	WHERE seq > ? AND seq <= coalesce((SELECT seq FROM marks WHERE name = ?3), 0) ORDER BY seq LIMIT ?2`

func stretchFrom(conn *sqlite.Conn, after, before int64) (r stretch, err error) {
	r = stretch{old: map[int64]bool{}, newest: math.MinInt64}
	err = database.Rows(conn, stretchQuery, database.Args{after, pruneStep, putAwayMark}, func(s *sqlite.Stmt) (bool, error) {
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

// remove removes what is old.
func (r *stretch) remove(conn *sqlite.Conn, after, before int64) error {
	err := database.Exec(conn, "DELETE FROM history WHERE seq > ? AND seq <= ? AND at < ?", database.Args{after, r.last, before})
	for id := range r.old {
		for _, forget := range []string{forgetFinished, forgetEvents} {
			if err == nil {
				err = database.Exec(conn, forget, database.Args{id})
			}
		}
	}
	return err
}

package history

import (
	"context"
	"errors"
	"math"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
)

const (
	indexEvery = time.Second      // how soon records come into sheets, once there are enough for one
	indexLate  = 8 * sheetRecords // records that may wait for that while mail goes on
)

// Index writes sheets until ctx ends. Mail comes first: sheets are written when a second brought none, or when a search
// would have to look at too many records one by one.
func (k *Keeper) Index(ctx context.Context) {
	for done, before := int64(0), int64(-1); ; {
		last := k.Last()
		quiet := last == before
		if before = last; quiet && last-done >= sheetRecords || last-done >= indexLate {
			var err error
			if done, err = k.indexAll(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, queue.ErrBroken) && !errors.Is(err, queue.ErrClosed) {
				k.Log.Warn("queue: could not index the history for searches", "error", err)
				done = last
			}
		}
		if quiet { // a store at rest is not looked at
			select {
			case <-ctx.Done():
				return
			case <-k.fresh:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(indexEvery):
		}
	}
}

// Written notes that the store was written to.
func (k *Keeper) Written() {
	select {
	case k.fresh <- struct{}{}:
	default:
	}
}

// indexAll writes sheets as long as there are records for whole ones, and returns up to which record they are written.
func (k *Keeper) indexAll(ctx context.Context) (done int64, err error) {
	for ctx.Err() == nil {
		var entries []entry
		err := k.Read(ctx, func(conn *sqlite.Conn) error {
			if done, err = markOf(conn, indexMark); err != nil {
				return err
			}
			entries, err = entriesFrom(conn, done)
			return err
		})
		if err != nil || len(entries) < sheetRecords {
			return done, err
		}
		err = k.Write(ctx, 100, func(conn *sqlite.Conn) error {
			if k.told.Load() { // the states that were read may be others by now
				if err := readStates(conn, entries); err != nil {
					return err
				}
			}
			return writeSheet(conn, entries)
		})
		if err != nil {
			return done, err
		}
	}
	return done, ctx.Err()
}

func entriesFrom(conn *sqlite.Conn, after int64) (entries []entry, err error) {
	const query = "SELECT seq, at, message, state, sender, recipient, info FROM history WHERE seq > ? ORDER BY seq LIMIT ?"
	err = database.Rows(conn, query, database.Args{after, sheetRecords}, func(s *sqlite.Stmt) (bool, error) {
		r := scanRecord(s)
		e, err := newEntry(s.ColumnInt64(0), &r)
		entries = append(entries, e)
		return true, err
	})
	return entries, err
}

// readStates reads them again.
func readStates(conn *sqlite.Conn, entries []entry) error {
	i := 0
	return database.Rows(conn, "SELECT seq, state FROM history WHERE seq >= ? ORDER BY seq LIMIT ?", database.Args{entries[0].seq, len(entries)}, func(s *sqlite.Stmt) (bool, error) {
		for i < len(entries) && entries[i].seq < s.ColumnInt64(0) { // it is gone
			i++
		}
		if i < len(entries) && entries[i].seq == s.ColumnInt64(0) {
			entries[i].state = s.ColumnInt64(1)
		}
		return i < len(entries), nil
	})
}

// scanRecord reads the columns at, message, state, sender, recipient and info behind the first.
func scanRecord(s *sqlite.Stmt) row.Record {
	return row.Record{
		At: s.ColumnInt64(1), Message: s.ColumnInt64(2), State: s.ColumnInt64(3), Sender: s.ColumnText(4), Recipient: s.ColumnText(5), Info: s.ColumnText(6),
	}
}

func writeSheet(conn *sqlite.Conn, entries []entry) error {
	first, last := entries[0].seq, entries[len(entries)-1].seq
	oldest, newest := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range entries {
		oldest, newest = min(oldest, entries[i].at), max(newest, entries[i].at)
	}
	for column, data := range encode(entries) {
		err := database.Exec(conn, "INSERT OR REPLACE INTO sheets (key, last, oldest, newest, data) VALUES (?, ?, ?, ?, ?)",
			database.Args{first<<keyShift | int64(column), last, oldest, newest, data})
		if err != nil {
			return err
		}
	}
	return setMarkTo(conn, indexMark, last)
}

// pruneSheets removes sheets whose records are gone.
func (k *Keeper) pruneSheets(ctx context.Context) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := k.Write(ctx, 1, func(conn *sqlite.Conn) error {
			more = false
			err := database.Rows(conn, goneQuery, nil, func(s *sqlite.Stmt) (bool, error) {
				more = true
				key := s.ColumnInt64(0) >> keyShift << keyShift
				return false, database.Exec(conn, "DELETE FROM sheets WHERE key >= ? AND key < ?", database.Args{key, key + 1<<keyShift})
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// goneQuery finds the oldest sheet if none of its records is left.
const goneQuery = `SELECT key FROM (SELECT key, last FROM sheets ORDER BY key LIMIT 1)
	WHERE last < coalesce((SELECT min(seq) FROM history), last + 1)`

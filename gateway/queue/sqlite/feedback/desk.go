// Package feedback has the tables of what providers tell of mail later: how far their logs were taken in, what waits for
// the record of its recipient, and late bounces that no message reports yet.
package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/history"
	"mailhatch/gateway/queue/sqlite/suppress"
	"mailhatch/gateway/queue/told"
)

// Desk is where the feedback of a store is.
type Desk struct {
	History   *history.Keeper // with how the tables are read and changed
	Receivers *Receivers
	Refused   *suppress.Register // addresses that get no mail
}

var _ queue.Feedback = Desk{}

// Cursor implements queue.Feedback.
func (d Desk) Cursor(ctx context.Context, upstream string) (cursor string, err error) {
	err = d.History.Read(ctx, func(conn *sqlite.Conn) error {
		return database.Rows(conn, "SELECT cursor FROM feedback_cursors WHERE upstream = ?", database.Args{upstream}, func(s *sqlite.Stmt) (bool, error) {
			cursor = s.ColumnText(0)
			return false, nil
		})
	})
	return cursor, err
}

func setCursor(conn *sqlite.Conn, upstream, cursor string) error {
	return database.Exec(conn, "INSERT INTO feedback_cursors (upstream, cursor) VALUES (?, ?) ON CONFLICT (upstream) DO UPDATE SET cursor = excluded.cursor",
		database.Args{upstream, cursor})
}

// Apply implements queue.Feedback.
func (d Desk) Apply(ctx context.Context, n queue.News) (queue.Applied, error) {
	list := make([]waiting, 0, len(n.Told))
	for i := range n.Told {
		list = append(list, waiting{Item: told.New(n.Upstream, n.Told[i])})
	}
	replay := false
	done, err := d.join(ctx, list, func(conn *sqlite.Conn) (err error) {
		if n.Nonce != "" {
			if replay, err = remember(conn, n.Upstream+" "+n.Nonce, d.History.Now()); err != nil || replay {
				return errors.Join(err, errReplay)
			}
		}
		if n.Cursor == "" {
			return nil
		}
		return setCursor(conn, n.Upstream, n.Cursor)
	})
	if replay && errors.Is(err, errReplay) {
		return queue.Applied{Replay: true}, nil
	}
	return done, err
}

// errReplay undoes a write.
var errReplay = errors.New("queue: the news were taken in before")

// remember keeps a nonce and reports whether it was known.
func remember(conn *sqlite.Conn, nonce string, now time.Time) (known bool, err error) {
	err = database.Exec(conn, "DELETE FROM feedback_nonces WHERE at < ?", database.Args{now.Add(-queue.NonceTime).UnixMilli()})
	if err == nil {
		err = database.Exec(conn, "INSERT INTO feedback_nonces (nonce, at) VALUES (?, ?) ON CONFLICT (nonce) DO NOTHING", database.Args{nonce, now.UnixMilli()})
	}
	return err == nil && conn.Changes() == 0, err
}

// Awaited implements queue.Feedback.
func (d Desk) Awaited(ctx context.Context, upstream string, since time.Time) (time.Time, error) {
	return d.History.OldestSent(ctx, upstream, since)
}

// lateQuery returns late bounces whose record is there.
const lateQuery = `SELECT h.seq, h.at, h.message, h.state, h.sender, h.recipient, h.info, l.info
	FROM feedback_late l JOIN history h ON h.seq = l.seq WHERE l.seq > ? ORDER BY l.seq LIMIT ?`

// LateBounces implements queue.Feedback.
func (d Desk) LateBounces(ctx context.Context, after string, most int) (list []queue.LateBounce, err error) {
	seq := int64(0)
	if after != "" {
		if seq, err = strconv.ParseInt(after, 36, 64); err != nil {
			return nil, fmt.Errorf("%w: %q", queue.ErrPlace, after)
		}
	}
	err = d.History.Read(ctx, func(conn *sqlite.Conn) error {
		list = nil
		return database.Rows(conn, lateQuery, database.Args{seq, most}, func(s *sqlite.Stmt) (bool, error) {
			stored := history.Scan(s)
			l := queue.LateBounce{Key: keyOf(stored.Seq)}
			var err error
			if l.Record, err = stored.Decode(); err == nil {
				err = json.Unmarshal([]byte(s.ColumnText(7)), &l.Told)
			}
			list = append(list, l)
			return true, err
		})
	})
	return list, err
}

// Dismiss implements queue.Feedback.
func (d Desk) Dismiss(ctx context.Context, keys ...string) error {
	return d.History.Write(ctx, len(keys), func(conn *sqlite.Conn) error {
		for _, key := range keys {
			if err := remove(conn, key); err != nil {
				return err
			}
		}
		return nil
	})
}

// Report removes the late bounces that a message reports; the error wraps queue.ErrReported where one is not there.
func Report(conn *sqlite.Conn, keys []string) error {
	for _, key := range keys {
		if err := remove(conn, key); err != nil {
			return err
		}
		if conn.Changes() == 0 {
			return fmt.Errorf("%w: %s", queue.ErrReported, key)
		}
	}
	return nil
}

func remove(conn *sqlite.Conn, key string) error {
	seq, err := strconv.ParseInt(key, 36, 64)
	if err != nil {
		return fmt.Errorf("%w: %q", queue.ErrReported, key)
	}
	return database.Exec(conn, "DELETE FROM feedback_late WHERE seq = ?", database.Args{seq})
}

func keyOf(seq int64) string { return strconv.FormatInt(seq, 36) }

// Prune removes late bounces whose record is gone, and what waited in vain.
func Prune(conn *sqlite.Conn, now time.Time) error {
	if _, err := expire(conn, now); err != nil {
		return err
	}
	if err := database.Exec(conn, boundOutgoing, database.Args{queue.ForwardMost}); err != nil {
		return err
	}
	return database.Exec(conn, "DELETE FROM feedback_late WHERE NOT EXISTS (SELECT 1 FROM history h WHERE h.seq = feedback_late.seq)", nil)
}

package feedback

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/told"
)

// waiting is what was told of a recipient, and how far its record was looked for.
type waiting struct {
	told.Item
	tried      int64 // record up to which the history was looked through for the provider's id
	candidates []int64
}

const (
	waitQuery = `INSERT INTO feedback_waiting (key, came, tried, upstream, info) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING`
	triedSet  = "UPDATE feedback_waiting SET tried = ? WHERE seq = ?"
	overQuery = "DELETE FROM feedback_waiting WHERE seq <= (SELECT seq FROM feedback_waiting ORDER BY seq DESC LIMIT 1 OFFSET ?)"
)

// wait keeps it until its record appears. again reports that it waits already.
func (w *waiting) wait(conn *sqlite.Conn, now time.Time) (again bool, err error) {
	if w.Row != 0 {
		return false, database.Exec(conn, triedSet, database.Args{w.tried, w.Row})
	}
	info, err := json.Marshal(w.Told)
	if err != nil {
		return false, err
	}
	err = database.Exec(conn, waitQuery, database.Args{w.Name, now.UnixMilli(), w.tried, w.Upstream, string(info)})
	return err == nil && conn.Changes() == 0, err
}

// done removes it from those that wait.
func (w *waiting) done(conn *sqlite.Conn) error {
	if w.Row == 0 {
		return nil
	}
	return database.Exec(conn, "DELETE FROM feedback_waiting WHERE seq = ?", database.Args{w.Row})
}

// bound lets the oldest go of too many that wait, and returns how many are left.
func bound(conn *sqlite.Conn, most int) (left, dropped int, err error) {
	n, err := database.Number(conn, "SELECT count(*) FROM feedback_waiting")
	if left = int(n); err != nil || left <= most {
		return left, 0, err
	}
	err = database.Exec(conn, overQuery, database.Args{most})
	return most, left - most, err
}

// expire removes what has waited in vain, and returns how much that was.
func expire(conn *sqlite.Conn, now time.Time) (dropped int, err error) {
	err = database.Exec(conn, "DELETE FROM feedback_waiting WHERE came < ?", database.Args{now.Add(-queue.JoinTime).UnixMilli()})
	return conn.Changes(), err
}

// joinStep is how many of those that wait are looked for at once.
const joinStep = 500

// Rejoin implements queue.Feedback.
func (d Desk) Rejoin(ctx context.Context) (queue.Applied, error) {
	nothing := func(*sqlite.Conn) error { return nil }
	return told.Rejoin(ctx, d.waiting, func(ctx context.Context, list []waiting) (queue.Applied, error) {
		return d.join(ctx, list, nothing)
	}, func(ctx context.Context) (expired int, err error) {
		err = d.History.Write(ctx, 1, func(conn *sqlite.Conn) (err error) {
			expired, err = expire(conn, d.History.Now())
			return err
		})
		return expired, err
	})
}

func (d Desk) waiting(ctx context.Context, after int64) (list []waiting, last int64, err error) {
	const query = "SELECT seq, tried, upstream, info FROM feedback_waiting WHERE seq > ? ORDER BY seq LIMIT ?"
	err = d.History.Read(ctx, func(conn *sqlite.Conn) error {
		list = nil
		return database.Rows(conn, query, database.Args{after, joinStep}, func(s *sqlite.Stmt) (bool, error) {
			last = s.ColumnInt64(0)
			var t queue.Told
			if err := json.Unmarshal([]byte(s.ColumnText(3)), &t); err != nil {
				return false, fmt.Errorf("what was told, %d: %w", last, err)
			}
			w := waiting{Item: told.New(s.ColumnText(2), t), tried: s.ColumnInt64(1)}
			w.Row = last
			list = append(list, w)
			return true, nil
		})
	})
	return list, last, err
}

// ofQuery looks for the id in the text first: there may be much that waits, and little of it is of one message.
const ofQuery = "SELECT info FROM feedback_waiting WHERE upstream = ? AND instr(info, ?) > 0 ORDER BY seq"

// ToldOf implements queue.Feedback.
func (d Desk) ToldOf(ctx context.Context, upstream, id string) (list []queue.Told, err error) {
	err = d.History.Read(ctx, func(conn *sqlite.Conn) error {
		list = nil
		return database.Rows(conn, ofQuery, database.Args{upstream, id}, func(s *sqlite.Stmt) (bool, error) {
			var t queue.Told
			err := json.Unmarshal([]byte(s.ColumnText(0)), &t)
			if t.ID == id {
				list = append(list, t)
			}
			return true, err
		})
	})
	return list, err
}

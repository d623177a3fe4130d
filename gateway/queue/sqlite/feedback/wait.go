package feedback

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
)

// waiting is what was told of a recipient, and where to look for it.
type waiting struct {
	queue.Told
	row        int64  // where it waits already; 0: nowhere
	upstream   string // that told it
	key        string // tells it from others
	message    int64  // number of Told.ID; 0: not known
	tried      int64  // record up to which the history was looked through for the provider's id
	candidates []int64
}

// newWaiting returns what is told; what does not name its message waits for nothing.
func newWaiting(upstream string, t queue.Told) waiting {
	w := waiting{Told: t, upstream: upstream}
	w.message, _ = queue.ParseID(t.ID)
	text := t.Key
	if text == "" {
		text = fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%d", t.ID, t.ProviderID, queue.AddressText(t.Recipient), t.Kind, t.At.UnixMilli())
	}
	sum := sha256.Sum256([]byte(upstream + "\x00" + text))
	w.key = hex.EncodeToString(sum[:8])
	return w
}

// provider is the provider's id as it is looked for; "": not known.
func (w *waiting) provider() string { return queue.PlainID(w.ProviderID) }

const (
	waitQuery = `INSERT INTO feedback_waiting (key, came, tried, upstream, info) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING`
	triedSet  = "UPDATE feedback_waiting SET tried = ? WHERE seq = ?"
	overQuery = "DELETE FROM feedback_waiting WHERE seq <= (SELECT seq FROM feedback_waiting ORDER BY seq DESC LIMIT 1 OFFSET ?)"
)

// wait keeps it until its record appears. again reports that it waits already.
func (w *waiting) wait(conn *sqlite.Conn, now time.Time) (again bool, err error) {
	if w.row != 0 {
		return false, database.Exec(conn, triedSet, database.Args{w.tried, w.row})
	}
	info, err := json.Marshal(w.Told)
	if err != nil {
		return false, err
	}
	err = database.Exec(conn, waitQuery, database.Args{w.key, now.UnixMilli(), w.tried, w.upstream, string(info)})
	return err == nil && conn.Changes() == 0, err
}

// done removes it from those that wait.
func (w *waiting) done(conn *sqlite.Conn) error {
	if w.row == 0 {
		return nil
	}
	return database.Exec(conn, "DELETE FROM feedback_waiting WHERE seq = ?", database.Args{w.row})
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

// expire removes what has waited in vain, and returns how much.
func expire(conn *sqlite.Conn, now time.Time) (dropped int, err error) {
	err = database.Exec(conn, "DELETE FROM feedback_waiting WHERE came < ?", database.Args{now.Add(-queue.JoinTime).UnixMilli()})
	return conn.Changes(), err
}

// joinStep is how many of those that wait are looked for at once.
const joinStep = 500

// Rejoin implements queue.Feedback.
func (d Desk) Rejoin(ctx context.Context) (all queue.Applied, err error) {
	for after := int64(0); ; {
		list, err := d.waiting(ctx, after)
		if err != nil || len(list) == 0 && after > 0 {
			return all, err
		}
		expired := 0
		some, err := d.join(ctx, list, func(conn *sqlite.Conn) (err error) {
			expired, err = expire(conn, d.History.Now())
			return err
		})
		if err != nil {
			return all, err
		}
		all.Joined = append(all.Joined, some.Joined...)
		all.Again += some.Again
		all.Dropped += some.Dropped + expired
		all.Waiting = some.Waiting - expired
		if len(list) < joinStep {
			return all, nil
		}
		after = list[len(list)-1].row
	}
}

func (d Desk) waiting(ctx context.Context, after int64) (list []waiting, err error) {
	const query = "SELECT seq, tried, upstream, info FROM feedback_waiting WHERE seq > ? ORDER BY seq LIMIT ?"
	err = d.History.Read(ctx, func(conn *sqlite.Conn) error {
		list = nil
		return database.Rows(conn, query, database.Args{after, joinStep}, func(s *sqlite.Stmt) (bool, error) {
			var t queue.Told
			if err := json.Unmarshal([]byte(s.ColumnText(3)), &t); err != nil {
				return false, fmt.Errorf("what was told, %s: %w", strconv.FormatInt(s.ColumnInt64(0), 10), err)
			}
			w := newWaiting(s.ColumnText(2), t)
			w.row, w.tried = s.ColumnInt64(0), s.ColumnInt64(1)
			list = append(list, w)
			return true, nil
		})
	})
	return list, err
}

// Package ledger has the tables in which the queue counts what upstreams take: how many in each quarter of an hour, and
// which recipients are not settled yet.
package ledger

import (
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
)

// Keep is how long what was counted is kept. It is far more than the longest window, for the clock may have been ahead
// for a while.
const Keep = 400 * 24 * time.Hour

// openLeast is how old an offer must be before it can be that of a message that is gone: of direct mail the message is
// stored after the offer, if at all.
const openLeast = 24 * time.Hour

// Values stand in expressions where they are compared for equality; see lease.go.
const (
	usedQuery  = "SELECT coalesce(sum(n), 0) FROM quota_used WHERE upstream = ?||'' AND at >= ? AND at < ?"
	openQuery  = "SELECT at FROM quota_open WHERE message = ?+0 AND upstream = ?||'' AND recipient = ?||''"
	openInsert = "INSERT INTO quota_open (message, upstream, recipient, at) VALUES (?, ?, ?, ?)"
	openDelete = "DELETE FROM quota_open WHERE message = ?+0 AND upstream = ?||'' AND recipient = ?||''"
	addQuery   = "INSERT INTO quota_used (upstream, at, n) VALUES (?, ?, ?) ON CONFLICT (upstream, at) DO UPDATE SET n = max(n + excluded.n, 0)"
)

// countUsed adds up what an upstream has taken in each window.
func countUsed(conn *sqlite.Conn, upstream string, windows []queue.Window) ([]int, error) {
	used := make([]int, len(windows))
	for i, w := range windows {
		err := database.Rows(conn, usedQuery, database.Args{upstream, w.From.UnixMilli(), w.Until.UnixMilli()}, func(s *sqlite.Stmt) (bool, error) {
			used[i] = s.ColumnInt(0)
			return false, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return used, nil
}

// take counts an offer of the message of an id.
func take(conn *sqlite.Conn, id int64, o *queue.Offer) (g queue.Grant, err error) {
	for _, to := range o.To {
		at, err := openSince(conn, id, o.Upstream, to)
		if err != nil {
			return g, err
		}
		if at != never {
			g.To, g.Again = append(g.To, to), true
		}
	}
	if g.Used, err = countUsed(conn, o.Upstream, o.Windows); err != nil || g.Again {
		return g, err
	}
	room := o.Room(g.Used)
	if room == 0 {
		return g, nil
	}
	g.To = o.To[:room]
	at := o.At.Truncate(queue.Quarter).UnixMilli()
	for _, to := range g.To {
		if err := database.Exec(conn, openInsert, database.Args{id, o.Upstream, to, at}); err != nil {
			return queue.Grant{}, err
		}
	}
	for i := range g.Used {
		g.Used[i] += room
	}
	return g, database.Exec(conn, addQuery, database.Args{o.Upstream, at, room})
}

const never = -1 << 63

// openSince returns when a recipient was counted that is not settled; never: there is none.
func openSince(conn *sqlite.Conn, id int64, upstream, to string) (at int64, err error) {
	at = never
	err = database.Rows(conn, openQuery, database.Args{id, upstream, to}, func(s *sqlite.Stmt) (bool, error) {
		at = s.ColumnInt64(0)
		return false, nil
	})
	return at, err
}

func unsettled(conn *sqlite.Conn, upstream string, id int64) (to []string, err error) {
	err = database.Rows(conn, "SELECT recipient FROM quota_open WHERE message = ? AND upstream = ?", database.Args{id, upstream}, func(s *sqlite.Stmt) (bool, error) {
		to = append(to, s.ColumnText(0))
		return true, nil
	})
	return to, err
}

// Settle ends offers of the message of an id.
func Settle(conn *sqlite.Conn, id int64, s *queue.Settlement) error {
	for _, to := range s.Taken {
		if err := database.Exec(conn, openDelete, database.Args{id, s.Upstream, to}); err != nil {
			return err
		}
	}
	for _, to := range s.Back {
		at, err := openSince(conn, id, s.Upstream, to)
		if err == nil && at != never {
			err = database.Exec(conn, addQuery, database.Args{s.Upstream, at, -1})
		}
		if err == nil {
			err = database.Exec(conn, openDelete, database.Args{id, s.Upstream, to})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func counting(conn *sqlite.Conn, upstreams []string) (before []string, err error) {
	err = database.Rows(conn, "SELECT upstream FROM quota_counting", nil, func(s *sqlite.Stmt) (bool, error) {
		before = append(before, s.ColumnText(0))
		return true, nil
	})
	if err == nil {
		err = database.Exec(conn, "DELETE FROM quota_counting", nil)
	}
	for _, name := range upstreams {
		if err == nil {
			err = database.Exec(conn, "INSERT INTO quota_counting (upstream) VALUES (?)", database.Args{name})
		}
	}
	return before, err
}

// Prune removes what no window can ask for, and offers of messages that are gone.
func Prune(conn *sqlite.Conn, now time.Time) error {
	err := database.Exec(conn, "DELETE FROM quota_used WHERE at < ?", database.Args{now.Add(-Keep).UnixMilli()})
	if err != nil {
		return err
	}
	return database.Exec(conn, "DELETE FROM quota_open WHERE at < ? AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = quota_open.message)",
		database.Args{now.Add(-openLeast).UnixMilli()})
}

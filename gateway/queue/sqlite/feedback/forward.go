package feedback

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
)

// Receivers are those who are handed what is told.
type Receivers struct{ list atomic.Pointer[[]string] }

// Forward implements queue.Forwards.
func (d Desk) Forward(receivers []string) {
	receivers = slices.Clone(receivers)
	d.Receivers.list.Store(&receivers)
}

// forward keeps what was told for each receiver.
func (j *joint) forward(joined *queue.Joined) error {
	list := j.Receivers.list.Load()
	if list == nil || len(*list) == 0 {
		return nil
	}
	info, err := json.Marshal(joined)
	for _, receiver := range *list {
		if err == nil {
			err = database.Exec(j.conn, "INSERT INTO feedback_outgoing (receiver, info) VALUES (?, ?)", database.Args{receiver, string(info)})
		}
	}
	return err
}

// Outgoing implements queue.Forwards.
func (d Desk) Outgoing(ctx context.Context, receiver string, most int) (list []queue.Outgoing, err error) {
	err = d.History.Read(ctx, func(conn *sqlite.Conn) error {
		list = nil
		return database.Rows(conn, "SELECT seq, info FROM feedback_outgoing WHERE receiver = ?||'' ORDER BY seq LIMIT ?", database.Args{receiver, most}, func(s *sqlite.Stmt) (bool, error) {
			o := queue.Outgoing{Key: s.ColumnInt64(0)}
			err := json.Unmarshal([]byte(s.ColumnText(1)), &o.Joined)
			list = append(list, o)
			return true, err
		})
	})
	return list, err
}

// HandedOver implements queue.Forwards.
func (d Desk) HandedOver(ctx context.Context, keys ...int64) error {
	return d.History.Write(ctx, len(keys), func(conn *sqlite.Conn) error {
		for _, key := range keys {
			if err := database.Exec(conn, "DELETE FROM feedback_outgoing WHERE seq = ?", database.Args{key}); err != nil {
				return err
			}
		}
		return nil
	})
}

const boundOutgoing = "DELETE FROM feedback_outgoing WHERE seq <= (SELECT max(seq) FROM feedback_outgoing) - ?"

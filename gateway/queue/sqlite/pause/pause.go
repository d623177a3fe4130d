// Package pause has the table of the lanes that an operator has paused.
package pause

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
)

// Board is where the pauses of a store are.
type Board struct {
	Write func(ctx context.Context, change func(*sqlite.Conn) error) error // signals queue.Queue.Changed
	Read  func(ctx context.Context, question func(*sqlite.Conn) error) error
	Now   func() time.Time
}

// Pause implements queue.Operator.
func (b Board) Pause(ctx context.Context, lane, by string) error {
	at := b.Now().UnixMilli()
	return b.Write(ctx, func(conn *sqlite.Conn) error {
		return database.Exec(conn, "INSERT INTO pauses (lane, at, who) VALUES (?, ?, ?) ON CONFLICT (lane) DO NOTHING", database.Args{lane, at, by})
	})
}

// Resume implements queue.Operator.
func (b Board) Resume(ctx context.Context, lane string) error {
	return b.Write(ctx, func(conn *sqlite.Conn) error {
		return database.Exec(conn, "DELETE FROM pauses WHERE lane = ?", database.Args{lane})
	})
}

// Paused implements queue.Operator.
func (b Board) Paused(ctx context.Context) (map[string]queue.Pause, error) {
	paused := map[string]queue.Pause{}
	err := b.Read(ctx, func(conn *sqlite.Conn) error {
		return database.Rows(conn, "SELECT lane, at, who FROM pauses", nil, func(s *sqlite.Stmt) (bool, error) {
			paused[s.ColumnText(0)] = queue.Pause{At: time.UnixMilli(s.ColumnInt64(1)), By: s.ColumnText(2)}
			return true, nil
		})
	})
	return paused, err
}

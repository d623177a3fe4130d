// Package history has the tables of what became of mail: records of recipients, events of messages, and what is kept of
// messages that have left the queue.
package history

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/veil"
)

// Keeper is the history of a store.
type Keeper struct {
	Access
	keep  atomic.Pointer[queue.KeepBodies] // nil: not known
	clean atomic.Bool                      // no message that has ended is left in its row
	ended chan struct{}                    // one token: there is something to put away
	told  atomic.Bool                      // a state was changed
	fresh chan struct{}                    // one token: there may be records that no sheet has
}

// Access is how a keeper reads and changes the tables of its store.
type Access struct {
	Dir   string // the state directory
	Veil  *veil.Veil
	Write func(ctx context.Context, rows int, change func(*sqlite.Conn) error) error // may call change again, if it was undone
	Read  func(ctx context.Context, question func(*sqlite.Conn) error) error
	// Drop puts messages away, with their bodies, and makes a change in the same write.
	Drop func(ctx context.Context, gone []*Ended, change func(*sqlite.Conn) error) error
	Now  func() time.Time
	Last func() int64 // number of the last record
	Log  *slog.Logger
}

// New returns the keeper of a store.
func New(a Access) *Keeper {
	return &Keeper{Access: a, ended: make(chan struct{}, 1), fresh: make(chan struct{}, 1)}
}

// KeepBodies says which bodies of messages stay that have ended.
func (k *Keeper) KeepBodies(keep queue.KeepBodies) {
	if keep.For > 0 {
		k.clean.Store(false)
	}
	k.keep.Store(&keep)
	k.Left()
}

func (k *Keeper) keepBodies() queue.KeepBodies {
	if keep := k.keep.Load(); keep != nil {
		return *keep
	}
	return queue.KeepBodies{}
}

// BodiesStay reports whether bodies of messages that have ended can be read.
func (k *Keeper) BodiesStay() bool { return k.Drop == nil || k.keepBodies().For > 0 }

// A mark is the record up to which all were looked at for some purpose. Numbers of records are never used again.
const (
	putAwayMark = "put away"
	indexMark   = "indexed"
)

func markOf(conn *sqlite.Conn, name string) (seq int64, err error) {
	err = database.Rows(conn, "SELECT seq FROM marks WHERE name = ?||''", database.Args{name}, func(s *sqlite.Stmt) (bool, error) {
		seq = s.ColumnInt64(0)
		return false, nil
	})
	return seq, err
}

func setMarkTo(conn *sqlite.Conn, name string, seq int64) error {
	return setMark(conn, name, strconv.FormatInt(seq, 10))
}

// setMark sets a mark to the value of an expression.
func setMark(conn *sqlite.Conn, name, seq string) error {
	return database.Exec(conn, "INSERT INTO marks (name, seq) VALUES (?, "+seq+") ON CONFLICT (name) DO UPDATE SET seq = max(seq, excluded.seq)", database.Args{name})
}

// Last returns the highest number that a record has or had.
func Last(conn *sqlite.Conn) (int64, error) {
	return database.Number(conn, "SELECT max((SELECT coalesce(max(seq), 0) FROM history), (SELECT coalesce(max(seq), 0) FROM marks))")
}

// SetPrivacy implements queue.Engine.
func (k *Keeper) SetPrivacy(p queue.Privacy) error { return k.Veil.Set(p) }

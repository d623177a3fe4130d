package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"
)

// The write-ahead log is carried over into the database by a connection of its own, beside the
// writer, so that no commit waits for it. Under constant load the log is never wholly carried over
// that way and would grow for ever; the writer then does the small rest itself between two groups,
// after which the log starts again from its beginning.
//
// SQLite before 3.51.3 could lose a commit that starts the log again beside a checkpoint of another
// connection (https://www.sqlite.org/wal.html#walresetbug): go.mod asks for a newer one, a test too.
const (
	walSoft  = 16 << 20 // bytes written after which the log is carried over, with a large reserve
	walLeast = 1 << 18  // the same with a small one
	walLimit = 64 << 20 // bytes that the log's file keeps
	rowBytes = 2 << 10  // what an op writes beside its body, roughly

	groupPages = 12 // pages that a transaction rewrites beside its bodies, roughly
)

// softLimit keeps the log within a part of the reserve, for carrying it over needs as much space
// again, and delivery must be able to go on when new mail is refused.
func softLimit(reserve int64) int64 {
	if reserve <= 0 {
		return walSoft
	}
	return min(max(reserve/4, walLeast), walSoft)
}

// grown counts what the writer has written and wakes the checkpointer.
func (s *Store) grown(bytes int) {
	s.walBytes += bytes + groupPages*pageSize
	if int64(s.walBytes) < s.walSoft.Load() {
		return
	}
	s.walBytes = 0
	select {
	case s.checkpoint <- struct{}{}:
	default:
	}
}

// checkpoints is the checkpointer.
func (s *Store) checkpoints(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.checkpoint:
		}
		// The second pass takes what came during the first and leaves little to the writer.
		s.carrying.Lock()
		if s.carryOver(s.carrier) && s.carryOver(s.carrier) {
			s.sealing.Store(true)
		}
		s.carrying.Unlock()
	}
}

// seal lets the log start again if the checkpointer has done its part.
func (s *Store) seal() {
	if s.sealing.CompareAndSwap(true, false) {
		s.carryOver(s.writer)
	}
}

// carryOver moves what it can without waiting for readers, and reports whether the store still works.
func (s *Store) carryOver(conn *sqlite.Conn) bool {
	if s.failure.Load() != nil {
		return false
	}
	err := exec(conn, "PRAGMA wal_checkpoint(PASSIVE)", nil)
	if err != nil && faultOf(err) == faultBroken {
		s.fail(fmt.Errorf("%s: checkpoint: %w", s.path, err))
		return false
	}
	return true
}

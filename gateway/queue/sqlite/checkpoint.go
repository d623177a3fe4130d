package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/disk"
	"mailhatch/gateway/queue/sqlite/wal"
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
	rowBytes = 2 << 10  // what an op writes beside its body, roughly

	logLong = 4  // times walSoft: the operator is told
	logMost = 16 // times walSoft: new mail is refused

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

// SetReserve sets the free space in bytes below which new mail is refused; 0: none.
func (s *Store) SetReserve(bytes int64) {
	s.space.SetReserve(bytes)
	s.walSoft.Store(softLimit(bytes))
}

// grown counts what the writer has written and wakes the checkpointer.
func (s *Store) grown(bytes int) {
	s.walBytes += bytes + groupPages*database.PageSize
	if int64(s.walBytes) < s.walSoft.Load() {
		return
	}
	s.walBytes = 0
	if !s.wakeCheckpointer() { // it has not begun with what came before: the log must not use up the reserve
		s.carrying.Lock()
		s.carryOver(s.writer)
		s.carrying.Unlock()
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
		if s.carryOver(s.carrier) {
			s.sealing.Store(s.carryOver(s.carrier))
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
	var frames, carried int64
	err := database.Rows(conn, "PRAGMA wal_checkpoint(PASSIVE)", nil, func(st *sqlite.Stmt) (bool, error) {
		frames, carried = st.ColumnInt64(1), st.ColumnInt64(2)
		return true, nil
	})
	if err != nil && database.FaultOf(err) == database.FaultBroken {
		s.fail(fmt.Errorf("%s: checkpoint: %w", s.path, err))
		return false
	}
	if err == nil {
		s.logged(frames, carried)
	}
	return true
}

// logged notes how large the log is after it was carried over as far as its readers allow.
func (s *Store) logged(frames, carried int64) {
	bytes := int64(0)
	if carried < frames {
		bytes = wal.Len(int(frames), database.PageSize)
	}
	long := logLong * s.walSoft.Load()
	if was := s.logBytes.Swap(bytes); bytes > long && was <= long {
		s.log.Warn("queue: the log grows because it cannot be checkpointed: a query or another program is reading the database", "bytes", bytes, "file", s.path+"-wal")
	}
}

// checkLog returns an error that wraps queue.ErrFull when the log has grown so much that new mail must wait.
func (s *Store) checkLog() error {
	if bytes := s.logBytes.Load(); bytes > logMost*s.walSoft.Load() {
		return fmt.Errorf("%w: %s-wal has %d bytes and cannot be carried over, because the database is being read", queue.ErrFull, s.path, bytes)
	}
	return nil
}

// wakeCheckpointer has the log carried over. It reports whether the checkpointer had begun with all it was asked for
// before.
func (s *Store) wakeCheckpointer() bool {
	select {
	case s.checkpoint <- struct{}{}:
		return true
	default:
		return false
	}
}

// overwrite has the engine overwrite what it removes, free pages too, for as long as the history is not to keep all of it:
// else the envelopes of mail that has gone could be read from the file for long.
func (s *Store) overwrite() {
	want := s.Veil.HidesHeader()
	if want == s.overwrites {
		return
	}
	if err := database.Exec(s.writer, fmt.Sprintf("PRAGMA secure_delete = %t", want), nil); err != nil {
		s.log.Warn("queue: deleted data is not overwritten", "error", err)
	}
	s.overwrites = want
}

// markName is the file of the mark; see package wal.
const markName = "queue.open"

// inspect looks at the files of a store before SQLite opens them, without changing them.
func inspect(dir, path string) (wal.State, error) {
	return wal.Inspect(filepath.Join(dir, markName), path+"-wal", database.PageSize)
}

// sound returns an error that wraps queue.ErrDamagedLog where SQLite would drop commits that were acknowledged.
func sound(state *wal.State, path string) error {
	if state.Damage == "" {
		return nil
	}
	return fmt.Errorf("%s-wal %s: %w", path, state.Damage, queue.ErrDamagedLog)
}

// note marks how far the log has come with the commit that was just made.
func (s *Store) note() error {
	frames, err := database.LogFrames(s.writer)
	if err != nil {
		return err
	}
	return s.mark.Committed(s.path+"-wal", frames)
}

// recoverName is a file that is there while a recovery is under way: the suffix of the damaged files, and what had
// been set aside before.
const recoverName = "queue.recover"

// recovering returns the suffix of the damaged files of a recovery that was cut off, "" for none, and what had been
// set aside before it began.
func recovering(dir string) (suffix string, before []string, err error) {
	b, err := os.ReadFile(filepath.Join(dir, recoverName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	suffix, rest, _ := strings.Cut(string(b), "\n")
	return suffix, strings.Fields(rest), err
}

// keepDamaged keeps copies of the files of a damaged log and cuts it to what SQLite accepts. It returns their suffix;
// "" is for a log that is not damaged.
func (r *recovery) keepDamaged() (suffix string, err error) {
	if suffix, r.before, err = recovering(r.dir); err != nil {
		return "", err
	}
	state, err := inspect(r.dir, r.path)
	if err != nil {
		return "", err
	}
	if suffix == "" {
		if r.Damage = state.Damage; r.Damage == "" {
			return "", nil
		}
		r.Damage = r.path + "-wal " + r.Damage
		suffix = ".damaged-" + time.Now().UTC().Format("20060102T150405.000Z")
		for from, to := range map[string]string{r.path: r.path + suffix, r.path + "-wal": r.path + suffix + "-wal",
			filepath.Join(r.dir, markName): filepath.Join(r.dir, markName+suffix)} {
			if err := disk.Copy(to, from); err != nil {
				return "", err
			}
		}
		if r.before, err = lostFound(r.dir).List(); err != nil {
			return "", err
		}
		text := suffix + "\n" + strings.Join(r.before, "\n") + "\n"
		if err := errors.Join(os.WriteFile(filepath.Join(r.dir, recoverName), []byte(text), 0o600), disk.SyncDir(r.dir)); err != nil {
			return "", err
		}
	} else {
		r.Damage = "a recovery was cut off"
	}
	// Nobody knows any more what was being offered: all that is due counts as interrupted.
	r.Kept, _ = filepath.Glob(filepath.Join(r.dir, "*"+suffix+"*"))
	if err := os.WriteFile(filepath.Join(r.dir, markName), wal.Mark{At: time.Now().UnixMilli(), Leased: math.MaxInt32}.Encode(), 0o600); err != nil {
		return "", err
	}
	if state.Log.Bytes == 0 {
		return suffix, nil
	}
	return suffix, os.Truncate(r.path+"-wal", wal.Len(state.Log.Accepted, database.PageSize))
}

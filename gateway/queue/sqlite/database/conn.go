// Package database opens the database of the queue, creates and upgrades it, and runs statements on it.
package database

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"mailhatch/gateway/queue"
)

// busyTimeout is how long a statement waits for a lock that another program has, such as sqlite3.
const busyTimeout = 5 * time.Second

// logLimit is how many bytes the file of the log keeps.
const logLimit = 64 << 20

// Caches of a connection, in KiB. A page takes nearly twice its size in memory, for the engine's allocator rounds up to
// powers of two; more for the writer saves no time beside 500,000 messages that wait, or a history of a million.
const (
	WriterCacheKiB = 2048
	ReaderCacheKiB = 1024
)

// Open opens a connection of the process that has the store. Its VFS locks the database for the whole process
// and keeps the index of the log in memory, so that no other program reads or locks it meanwhile; Windows has none
// that does.
func Open(path string, cacheKiB int) (*sqlite.Conn, error) {
	if runtime.GOOS == "windows" {
		return openConn(path, path, sqlite.OpenReadWrite, cacheKiB)
	}
	return openConn(path, fileURI(path, "vfs=unix-excl"), sqlite.OpenReadWrite|sqlite.OpenURI, cacheKiB)
}

// fileURI names a file with options: https://www.sqlite.org/uri.html
func fileURI(path, options string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: options}
	return u.String()
}

// openConn opens a connection that checkpoints only when it is told to. name is path or its URI; the settings come
// before all others.
func openConn(path, name string, flags sqlite.OpenFlags, cacheKiB int, settings ...string) (*sqlite.Conn, error) {
	conn, err := sqlite.OpenConn(name, flags)
	if err != nil {
		return nil, Describe(path, err)
	}
	conn.SetBusyTimeout(busyTimeout)
	for _, setting := range append(settings,
		"synchronous = FULL", // NORMAL loses the tail of the log when the power goes
		"fullfsync = 1",      // macOS: fsync alone does not reach the disk
		"checkpoint_fullfsync = 1",
		"wal_autocheckpoint = 0",
		fmt.Sprintf("journal_size_limit = %d", logLimit),
		"temp_store = MEMORY",
		fmt.Sprintf("cache_size = -%d", cacheKiB),
	) {
		if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+setting, nil); err != nil {
			conn.Close()
			return nil, Describe(path, err)
		}
	}
	return conn, nil
}

// Args are the parameters of a statement, from the first on: numbers, texts, bytes, or nil for NULL.
type Args []any

func (params Args) bind(stmt *sqlite.Stmt) {
	for i, p := range params {
		switch v := p.(type) {
		case int64:
			stmt.BindInt64(i+1, v)
		case int:
			stmt.BindInt64(i+1, int64(v))
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			if v != nil {
				stmt.BindBytes(i+1, v)
			}
		}
	}
}

// Exec runs a statement that returns no rows.
func Exec(conn *sqlite.Conn, query string, params Args) error {
	return Rows(conn, query, params, func(*sqlite.Stmt) (bool, error) { return true, nil })
}

// Rows runs a query and calls each for its rows until that returns false or an error. each may run
// other queries on conn, which then see the same snapshot.
func Rows(conn *sqlite.Conn, query string, params Args, each func(*sqlite.Stmt) (bool, error)) error {
	stmt, err := conn.Prepare(query)
	if err != nil {
		return err
	}
	params.bind(stmt)
	defer stmt.Reset() //nolint:errcheck // it repeats the error of Step
	for {
		row, err := stmt.Step()
		if err != nil || !row {
			return err
		}
		if more, err := each(stmt); err != nil || !more {
			return err
		}
	}
}

// Fault is what an error of the engine means for the store.
type Fault int

const (
	FaultOp     Fault = iota // this operation alone
	FaultFull                // no space: nothing is damaged
	FaultBroken              // what is on disk is not known any more
)

// FaultOf returns what err, of the engine, means.
func FaultOf(err error) Fault {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull:
		return FaultFull
	case sqlite.ResultIOErr, sqlite.ResultCorrupt, sqlite.ResultNotADB, sqlite.ResultCantOpen,
		sqlite.ResultReadOnly, sqlite.ResultPerm, sqlite.ResultProtocol:
		return FaultBroken
	default:
		return FaultOp
	}
}

// Describe adds the file's name to an error of the engine, and what to make of it.
func Describe(path string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return fmt.Errorf("%s is damaged: %w (nothing was deleted; restore it, or move it away to start with an empty queue)", path, err)
	case sqlite.ResultFull:
		return fmt.Errorf("%w: %s: %w", queue.ErrFull, path, err)
	case sqlite.ResultBusy:
		return fmt.Errorf("%s is in use by another program, such as sqlite3 or another mailhatch: %w", path, err)
	default:
		return fmt.Errorf("%s: %w", path, err)
	}
}

// Number reads a number.
func Number(conn *sqlite.Conn, query string) (n int64, err error) {
	err = Rows(conn, query, nil, func(s *sqlite.Stmt) (bool, error) {
		n = s.ColumnInt64(0)
		return false, nil
	})
	return n, err
}

// LogFrames returns how many frames the log has.
func LogFrames(conn *sqlite.Conn) (n int64, err error) {
	err = Rows(conn, "PRAGMA wal_checkpoint(NOOP)", nil, func(s *sqlite.Stmt) (bool, error) {
		n = s.ColumnInt64(1)
		return true, nil
	})
	return n, err
}

// OpenReadOnly opens the database for reading. Reading takes part in the engine's locks through
// files beside it; where these cannot be made, because the directory is not writable, the database and
// its log stand still and are read as they are.
func OpenReadOnly(path string) (*sqlite.Conn, error) {
	conn, err := openConn(path, path, sqlite.OpenReadOnly, ReaderCacheKiB)
	if err == nil {
		if _, err = Number(conn, "SELECT count(*) FROM sqlite_schema"); err == nil {
			return conn, nil
		}
		conn.Close()
		err = Describe(path, err)
	}
	if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultBusy {
		return nil, err
	}
	st, e := os.Stat(path + "-wal")
	if e != nil || st.Size() == 0 {
		return openConn(path, fileURI(path, "immutable=1"), sqlite.OpenReadOnly|sqlite.OpenURI, ReaderCacheKiB)
	}
	if runtime.GOOS == "windows" {
		return nil, fmt.Errorf("%w (its log must be read too: run this as the user of the daemon)", err)
	}
	// In exclusive mode the index of the log is kept in memory.
	return openConn(path, fileURI(path, "vfs=unix-none"), sqlite.OpenReadOnly|sqlite.OpenURI, ReaderCacheKiB, "locking_mode = EXCLUSIVE")
}

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"mailhatch/gateway/queue"
)

// busyTimeout is how long a statement waits for a lock that another program has, such as sqlite3.
const busyTimeout = 5 * time.Second

// Caches of a connection, in KiB.
const (
	writerCacheKiB = 8192
	readerCacheKiB = 1024
)

// openOwn opens a connection of the process that has the store. Its VFS locks the database for the whole process
// and keeps the index of the log in memory, so that no other program reads or locks it meanwhile; Windows has none
// that does.
func openOwn(path string, cacheKiB int) (*sqlite.Conn, error) {
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
		return nil, describe(path, err)
	}
	conn.SetBusyTimeout(busyTimeout)
	for _, setting := range append(settings,
		"synchronous = FULL", // NORMAL loses the tail of the log when the power goes
		"fullfsync = 1",      // macOS: fsync alone does not reach the disk
		"checkpoint_fullfsync = 1",
		"wal_autocheckpoint = 0",
		fmt.Sprintf("journal_size_limit = %d", walLimit),
		"temp_store = MEMORY",
		fmt.Sprintf("cache_size = -%d", cacheKiB),
	) {
		if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+setting, nil); err != nil {
			conn.Close()
			return nil, describe(path, err)
		}
	}
	return conn, nil
}

// args are the parameters of a statement, from the first on: numbers, texts, bytes or nil for NULL.
type args []any

func (params args) bind(stmt *sqlite.Stmt) {
	for i, p := range params {
		switch v := p.(type) {
		case int64:
			stmt.BindInt64(i+1, v)
		case int:
			stmt.BindInt64(i+1, int64(v))
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			stmt.BindBytes(i+1, v)
		}
	}
}

// exec runs a statement that returns no rows.
func exec(conn *sqlite.Conn, query string, params args) error {
	return rows(conn, query, params, func(*sqlite.Stmt) (bool, error) { return true, nil })
}

// rows runs a query and calls each for its rows until that returns false or an error. each may run
// other queries on conn, which then see the same snapshot.
func rows(conn *sqlite.Conn, query string, params args, each func(*sqlite.Stmt) (bool, error)) error {
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

// fault is what an error of the engine means for the store.
type fault int

const (
	faultOp     fault = iota // this operation alone
	faultFull                // no space: nothing is damaged
	faultBroken              // what is on disk is not known any more
)

func faultOf(err error) fault {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull:
		return faultFull
	case sqlite.ResultIOErr, sqlite.ResultCorrupt, sqlite.ResultNotADB, sqlite.ResultCantOpen,
		sqlite.ResultReadOnly, sqlite.ResultPerm, sqlite.ResultProtocol:
		return faultBroken
	default:
		return faultOp
	}
}

// describe adds the file's name to an error of the engine, and what to make of it.
func describe(path string, err error) error {
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

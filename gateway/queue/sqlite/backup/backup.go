// Package backup copies a store as it is at one moment, while it is in use.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/disk"
	"mailhatch/gateway/queue/veil"
)

// pagesPerStep is how many pages are copied before ctx is looked at.
const pagesPerStep = 1000

// flagQuery makes what waits count as interrupted: when a backup comes to be used, the store that it was made of may have
// offered it.
const flagQuery = `UPDATE parts SET info = json_set(iif(info = '', '{}', info), '$.interrupted', json('true'))
	WHERE state IN (0, 1) AND (info = '' OR json_valid(info))`

// Write copies the database that conn has open, and its bodies from the state directory from, into the new directory to. No
// body may be removed meanwhile. After an error the directory is gone.
func Write(ctx context.Context, conn *sqlite.Conn, name, from, to string) (err error) {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(to))
		}
	}()
	if err := os.Mkdir(filepath.Join(to, bodies.DirName), 0o700); err != nil {
		return err
	}
	if err := database.Exec(conn, "BEGIN", nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Exec(conn, "ROLLBACK", nil)) }()
	files, err := bodyFiles(conn) // it begins the snapshot
	if err == nil {
		err = copyDatabase(ctx, conn, filepath.Join(to, name))
	}
	if key := veil.KeyName; err == nil {
		if err = copyFile(ctx, filepath.Join(from, key), filepath.Join(to, key)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	for _, file := range files {
		if err == nil {
			err = copyFile(ctx, filepath.Join(from, bodies.DirName, file), filepath.Join(to, bodies.DirName, file))
		}
	}
	for _, dir := range []string{filepath.Join(to, bodies.DirName), to, filepath.Dir(to)} {
		if err == nil {
			err = disk.SyncDir(dir)
		}
	}
	return err
}

// bodyFiles names the files and segments that rows name.
func bodyFiles(conn *sqlite.Conn) (names []string, err error) {
	seen := map[int64]bool{}
	err = database.Rows(conn, "SELECT id, size, crc, body FROM messages WHERE typeof(body) <> 'blob'", nil, func(s *sqlite.Stmt) (bool, error) {
		b := bodies.Scan(s, s.ColumnInt64(0), 1)
		switch n := b.At.Segment(); {
		case b.At == bodies.InFile:
			names = append(names, filepath.Base(bodies.Path("", b.ID)))
		case !seen[n]:
			seen[n] = true
			names = append(names, bodies.SegmentName(n))
		}
		return true, nil
	})
	return names, err
}

// copyDatabase copies what conn sees.
func copyDatabase(ctx context.Context, conn *sqlite.Conn, path string) (err error) {
	to, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return err
	}
	err = copyPages(ctx, conn, to)
	if err == nil {
		err = database.Exec(to, flagQuery, nil)
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return database.Describe(path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(disk.SyncData(f), f.Close())
}

func copyPages(ctx context.Context, from, to *sqlite.Conn) (err error) {
	b, err := sqlite.NewBackup(to, "main", from, "main")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if more, err = b.Step(pagesPerStep); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file onto stable storage.
func copyFile(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("a body that is needed: %w", err)
	}
	defer in.Close() //nolint:errcheck // it was only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, reader{ctx, in}); err != nil {
		return disk.Describe(err)
	}
	return disk.SyncData(out)
}

// reader ends with a context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// Spared are files of bodies that are not removed yet, for a backup may need them.
type Spared struct {
	mu      sync.Mutex
	backups int // that run
	ids     []int64
}

// Add reports whether the file of a body has to stay for now.
func (s *Spared) Add(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backups > 0 {
		s.ids = append(s.ids, id)
	}
	return s.backups > 0
}

// Count notes that a backup begins, or ends if n is -1, and returns the bodies that can go.
func (s *Spared) Count(n int) (ids []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backups += n; s.backups == 0 {
		ids, s.ids = s.ids, nil
	}
	return ids
}

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
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/disk"
	"mailhatch/gateway/queue/veil"
)

// A copy goes to the disk step by step, with a pause after each that is as long as the step: mail waits for its own fsync
// behind what is on the way to the disk already.
const (
	pagesPerStep = 256
	bytesPerStep = 1 << 20
)

// step makes a step of a copy, puts f on stable storage, and rests.
func step(ctx context.Context, f *os.File, do func() error) error {
	began := time.Now()
	if err := errors.Join(do(), disk.SyncData(f)); err != nil {
		return disk.Describe(err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Since(began)):
		return nil
	}
}

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
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err == nil {
		err = copyPages(ctx, conn, to, f)
	}
	if err == nil {
		err = database.Exec(to, flagQuery, nil)
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return errors.Join(database.Describe(path, err), f.Close())
	}
	return errors.Join(disk.SyncData(f), f.Close())
}

// copyPages copies into the database whose file is f.
func copyPages(ctx context.Context, from, to *sqlite.Conn, f *os.File) (err error) {
	b, err := sqlite.NewBackup(to, "main", from, "main")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for more := true; more; {
		err := step(ctx, f, func() error {
			more, err = b.Step(pagesPerStep)
			return err
		})
		if err != nil {
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
	for n := int64(bytesPerStep); n == bytesPerStep && err == nil; {
		err = step(ctx, out, func() (err error) {
			if n, err = io.CopyN(out, in, bytesPerStep); err == io.EOF {
				err = nil
			}
			return err
		})
	}
	return err
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

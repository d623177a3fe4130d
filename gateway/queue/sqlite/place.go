package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/disk"
)

// A file that is removed or replaced while it is open takes all further writes with it. The writer
// therefore checks after each commit, before it answers anybody, whether the database and its log still
// have their names; another goroutine does when nothing is written.

// watchEvery is how soon a store that does nothing notices that its files are gone.
const watchEvery = time.Second

// place knows the files that are open.
type place struct {
	path string

	mu      sync.Mutex
	db, wal os.FileInfo
}

// check returns an error when the files are not those of the first call any more.
func (p *place) check() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := disk.Same(p.path, &p.db); err != nil {
		return err
	}
	err := disk.Same(p.path+"-wal", &p.wal)
	if p.wal == nil && errors.Is(err, fs.ErrNotExist) {
		return nil // it comes with the first write
	}
	return err
}

// displaced fails the store when its files have lost their names, and reports whether they have.
func (s *Store) displaced() bool {
	err := s.place.check()
	if err != nil {
		s.fail(err)
	}
	return err != nil
}

// named fails the store when an open file of a body has lost its name: its body would go with the process.
func (s *Store) named(f *os.File, path string) error {
	open, err := f.Stat()
	if err == nil {
		err = disk.Same(path, &open)
	}
	if err == nil {
		return nil
	}
	s.fail(err)
	return s.err()
}

// bodiesDisplaced fails the store when the folder of bodies, or the segment that is being filled, has lost its name.
func (s *Store) bodiesDisplaced() bool {
	err := disk.Same(filepath.Join(s.dir, bodies.DirName), &s.bodies)
	if err == nil {
		err = s.segments.Displaced()
	}
	if err != nil {
		s.fail(err)
	}
	return err != nil
}

// watch checks the files of a store that is not written to.
func (s *Store) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.displaced() || s.bodiesDisplaced() {
			return
		}
		if s.logBytes.Load() > 0 { // perhaps its reader has gone
			s.wakeCheckpointer()
		}
		if err := s.mark.Sync(); err != nil {
			s.fail(err)
			return
		}
	}
}

// setLogAside renames a log that belongs to no database, so that it is not played into a new one.
func (s *Store) setLogAside() error {
	for _, end := range []string{"-wal", "-shm"} {
		switch err := os.Rename(s.path+end, s.path+end+".old"); {
		case err == nil:
			s.log.Warn("queue: the database was missing; the rest of its log was moved aside", "file", s.path+end+".old")
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

// fail marks the store as broken, once and for good: after a failed write nobody knows what the page
// cache and the disk hold, and a second fsync would only hide it.
func (s *Store) fail(err error) {
	err = fmt.Errorf("%w: %w", queue.ErrBroken, err)
	s.failure.CompareAndSwap(nil, &err)
	s.end()
}

// end refuses changes from now on.
func (s *Store) end() { s.endOnce.Do(func() { close(s.over) }) }

// err returns why changes are refused: an error that wraps queue.ErrBroken or is queue.ErrClosed; nil
// while they are not.
func (s *Store) err() error {
	select {
	case <-s.over:
	default:
		return nil
	}
	if failure := s.failure.Load(); failure != nil {
		return *failure
	}
	return queue.ErrClosed
}

package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// A file that is removed or replaced while it is open takes all further writes with it. The writer
// therefore looks after each commit, before it tells anybody, whether the database and its log still
// have their names; a second goroutine looks when nothing is written.

// watchEvery is how soon a store that does nothing notices that its files are gone.
const watchEvery = time.Second

// rescuedName is the copy of a database that was taken away while it was open.
const rescuedName = databaseName + ".rescued"

// place knows the files that are open.
type place struct {
	path string

	mu      sync.Mutex
	db, wal os.FileInfo
}

// check says whether the files that were there at the first call are there still.
func (p *place) check() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := sameFile(p.path, &p.db); err != nil {
		return err
	}
	err := sameFile(p.path+"-wal", &p.wal)
	if p.wal == nil && errors.Is(err, fs.ErrNotExist) {
		return nil // it comes with the first write
	}
	return err
}

// sameFile compares the file of that name with the one that had it first.
func sameFile(path string, first *os.FileInfo) error {
	now, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && *first != nil:
		return fmt.Errorf("%s was removed while it was in use", path)
	case err != nil:
		return err
	case *first == nil:
		*first = now
	case !os.SameFile(*first, now):
		return fmt.Errorf("%s was replaced while it was in use", path)
	}
	return nil
}

// watch looks after the files of a store that is not written to.
func (s *Store) watch() {
	defer s.work.Done()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-s.broken:
			return
		case <-tick.C:
		}
		if s.place.check() == nil {
			continue
		}
		if s.enter() != nil {
			return
		}
		select { // the writer sees to it
		case s.ops <- &op{run: func(*tx) error { return nil }, done: make(chan struct{})}:
		case <-s.closing:
		}
		s.leave()
	}
}

// displaced fails the store when its files have lost their names, and says whether they have just now.
func (s *Store) displaced() bool {
	if s.Err() != nil {
		return false
	}
	err := s.place.check()
	if err == nil {
		return false
	}
	s.fail(fmt.Errorf("%w (what it holds is being saved: see the log)", err))
	return true
}

// save rescues what a displaced database holds. Its callers have been told that it is lost to them.
func (s *Store) save() {
	if s.place.hasDatabase() && carryAll(s.writer) {
		s.log.Error("queue: what the lost log holds was carried over into the database", "file", s.path)
		return
	}
	path := filepath.Join(s.dir, rescuedName)
	if err := s.rescue(path); err != nil {
		s.log.Error("queue: what the lost database holds could not be saved", "file", path, "error", err)
		return
	}
	s.log.Error("queue: what the lost database holds was saved; the next start takes it if there is no "+databaseName, "file", path)
}

// hasDatabase says whether at least the database has its name.
func (p *place) hasDatabase() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sameFile(p.path, &p.db) == nil
}

// carryAll moves the whole log into the database and says whether nothing was left.
func carryAll(conn *sqlite.Conn) bool {
	left := true
	err := rows(conn, "PRAGMA wal_checkpoint(FULL)", nil, func(s *sqlite.Stmt) (bool, error) {
		left = s.ColumnInt64(0) != 0 || s.ColumnInt64(1) != s.ColumnInt64(2)
		return false, nil
	})
	return err == nil && !left
}

// rescue writes what the open database holds to a file.
func (s *Store) rescue(path string) error {
	draft := path + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := sqlitex.ExecuteTransient(s.writer, "VACUUM INTO ?", &sqlitex.ExecOptions{Args: []any{draft}})
	if err != nil {
		return err
	}
	if err := os.Chmod(draft, 0o600); err != nil {
		return err
	}
	conn, err := sqlite.OpenConn(draft, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	err = sqlitex.ExecuteTransient(conn, "PRAGMA journal_mode = WAL", nil)
	if err = errors.Join(err, conn.Close()); err != nil {
		return err
	}
	return settleFile(draft, path)
}

// settleFile puts a complete file on stable storage under its name.
func settleFile(draft, path string) error {
	f, err := os.OpenFile(draft, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// adopt prepares a start without a database: it takes what was rescued of one, and moves a log away
// that belongs to none. It says whether there is a database now.
func (s *Store) adopt() (existed bool, err error) {
	for _, end := range []string{"-wal", "-shm"} {
		switch err := os.Rename(s.path+end, s.path+end+".old"); {
		case err == nil:
			s.log.Warn("queue: the database was missing; what was left of its log was moved away", "file", s.path+end+".old")
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	saved := filepath.Join(s.dir, rescuedName)
	if existed, err = checkHeader(saved); err != nil || !existed {
		return false, err
	}
	s.log.Warn("queue: the database was missing; the copy that was saved when it went away takes its place", "file", saved)
	return true, settleFile(saved, s.path)
}

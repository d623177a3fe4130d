package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
)

// sweep removes body files and segments that no row names: drafts that were cut off, and bodies whose message
// ended just before the process did. bodies are those that were there before the
// first draft. Files with other names are not ours.
func (s *Store) sweep(bodies, segments []int64) {
	defer s.work.Done()
	for _, n := range segments {
		// The writer counts what it does not know and removes what nobody needs.
		if s.stopping(context.Background()) || s.weigh(n) != nil {
			break
		}
	}
	removed, err := s.removeOrphans(bodies)
	if err != nil {
		s.log.Warn("queue: bodies without a message were not removed", "dir", filepath.Join(s.dir, bodiesDir), "error", err)
	}
	if removed > 0 {
		s.log.Info("queue: removed bodies without a message", "count", removed)
	}
}

// listBodies names the bodies that are in files, and the segments.
func listBodies(dir string) (ids, segments []int64, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, bodiesDir))
	if err != nil {
		return nil, nil, fmt.Errorf("queue: %w", err)
	}
	for _, e := range entries {
		if id, ok := bodyID(e.Name()); ok && e.Type().IsRegular() {
			ids = append(ids, id)
		}
		if n, ok := segmentNumber(e.Name()); ok && e.Type().IsRegular() {
			segments = append(segments, n)
		}
	}
	return ids, segments, nil
}

func (s *Store) removeOrphans(ids []int64) (removed int, err error) {
	for _, id := range ids {
		if s.stopping(context.Background()) {
			return removed, nil
		}
		var orphan bool
		err := s.use(context.Background(), func(conn *sqlite.Conn) (err error) {
			orphan, err = hasNoFile(conn, id)
			return err
		})
		if err != nil {
			return removed, err
		}
		if !orphan {
			continue
		}
		if err := os.Remove(bodyPath(s.dir, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// hasNoFile says that there is no message of this id whose body is in a file.
func hasNoFile(conn *sqlite.Conn, id int64) (bool, error) {
	free := true
	err := rows(conn, "SELECT 1 FROM messages WHERE id = ? AND body IS NULL",
		func(s *sqlite.Stmt) { s.BindInt64(1, id) },
		func(*sqlite.Stmt) (bool, error) {
			free = false
			return false, nil
		})
	return free, err
}

// removeBody removes the file of a message that is gone. What stays is removed at the next start.
func (s *Store) removeBody(id int64) {
	if err := os.Remove(bodyPath(s.dir, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("queue: a body was not removed", "error", err)
	}
}

package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
)

// leftovers are the body files and segments of former processes.
type leftovers struct{ bodies, segments []int64 }

// sweep removes body files and segments that no row names: drafts that were cut off, and bodies whose message
// ended just before the process did. It looks at those that were there when the store was opened. Files with
// other names are left alone.
func (s *Store) sweep(ctx context.Context) {
	for _, n := range s.orphans.segments {
		if s.countSegment(ctx, n) != nil {
			return
		}
	}
	removed := 0
	for _, id := range s.orphans.bodies {
		var at bodyPlace
		err := s.use(ctx, func(conn *sqlite.Conn) (err error) {
			at, _, err = whereIs(conn, id)
			return err
		})
		if err == nil && at != inFile {
			removed++
			err = os.Remove(bodyPath(s.dir, id))
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			if ctx.Err() == nil {
				s.log.Warn("queue: bodies without a message were not removed", "dir", filepath.Join(s.dir, bodiesDir), "error", err)
			}
			return
		}
	}
	if removed > 0 {
		s.log.Info("queue: removed bodies without a message", "count", removed)
	}
}

// listBodies finds the bodies that are in files, and the segments.
func listBodies(dir string) (found leftovers, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, bodiesDir))
	for _, e := range entries {
		if id, ok := bodyID(e.Name()); ok && e.Type().IsRegular() {
			found.bodies = append(found.bodies, id)
		}
		if n, ok := segmentNumber(e.Name()); ok && e.Type().IsRegular() {
			found.segments = append(found.segments, n)
		}
	}
	return found, err
}

// removeBody removes the file of a message that is gone. What stays is removed at the next start.
func (s *Store) removeBody(id int64) {
	if err := os.Remove(bodyPath(s.dir, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("queue: a body was not removed", "error", err)
	}
}

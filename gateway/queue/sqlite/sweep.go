package sqlite

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
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

// whereIs returns the place and the size of a body. It does not read bodies that are in rows.
func whereIs(conn *sqlite.Conn, id int64) (at bodyPlace, size int64, err error) {
	err = rows(conn, "SELECT CASE typeof(body) WHEN 'blob' THEN 0 WHEN 'null' THEN -1 ELSE body END, size FROM messages WHERE id = ?",
		args{id},
		func(s *sqlite.Stmt) (bool, error) {
			at, size = bodyPlace(s.ColumnInt64(0)), s.ColumnInt64(1)
			return false, nil
		})
	return at, size, err
}

const segmentQuery = `SELECT size, crc, body, id FROM messages INDEXED BY messages_segment
	WHERE typeof(body) = 'integer' AND body >= ? AND body < ?`

// inSegment calls each for the messages whose bodies are in a segment.
func inSegment(conn *sqlite.Conn, number int64, each func(storedBody)) error {
	return rows(conn, segmentQuery,
		args{firstPlace(number), firstPlace(number + 1)},
		func(s *sqlite.Stmt) (bool, error) {
			each(scanBody(s, s.ColumnInt64(3), 0))
			return true, nil
		})
}

// segmentLoad returns what rows name in a segment. It runs in the writer.
func (s *Store) segmentLoad(number int64) (l load, err error) {
	err = inSegment(s.writer, number, func(b storedBody) {
		l.bodies++
		l.bytes += b.size
	})
	return l, err
}

// countSegment has the writer count a segment of a former process and remove it if nobody needs it.
func (s *Store) countSegment(ctx context.Context, number int64) error {
	return s.do(ctx, &op{bytes: 1, run: func(t *tx) error {
		t.inSegment(bodyPlace(firstPlace(number)), 0, 0)
		return nil
	}})
}

// removeDeadSegments removes segments that nobody needs any more. It runs in the writer, between two groups,
// and trusts nothing but the rows. What stays is removed at the next start.
func (s *Store) removeDeadSegments() {
	if s.failure.Load() != nil {
		return // nobody knows what the rows are
	}
	for _, number := range s.segments.takeDead() {
		l, err := s.segmentLoad(number)
		if err == nil && l.bodies > 0 {
			s.log.Error("queue: a segment was about to be removed that is needed", "segment", segmentName(number), "bodies", l.bodies)
		}
		if err == nil && l.bodies == 0 {
			err = os.Remove(segmentPath(s.dir, number))
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("queue: a segment was not removed", "error", err)
		}
	}
}

// gather moves the few bodies that keep a segment alive into files of their own, so that mail that
// waits for long does not hold the space of mail that has gone.
func (s *Store) gather(ctx context.Context) error {
	for _, number := range s.segments.sparse() {
		var bodies []storedBody
		err := s.use(ctx, func(conn *sqlite.Conn) error {
			return inSegment(conn, number, func(b storedBody) { bodies = append(bodies, b) })
		})
		for i := range bodies {
			if err == nil && ctx.Err() == nil {
				err = s.moveBody(ctx, &bodies[i])
			}
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// moveBody gives a body of a segment a file. A damaged one stays where it is.
func (s *Store) moveBody(ctx context.Context, b *storedBody) error {
	from, err := b.open(s.dir, s.path)
	if errors.Is(err, queue.ErrDamaged) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // in memory
	if err := s.copyOut(bodyPath(s.dir, b.id), from); err != nil {
		return err
	}
	moved := false
	err = s.do(ctx, &op{bytes: rowBytes, run: func(t *tx) error {
		err := exec(t.conn, "UPDATE messages SET body = NULL WHERE id = ? AND body = ?", args{b.id, int64(b.at)})
		if moved = err == nil && t.conn.Changes() == 1; moved {
			t.inSegment(b.at, b.size, -1)
		}
		return err
	}})
	if !moved && !errors.Is(err, queue.ErrBroken) { // the message went meanwhile
		s.removeBody(b.id)
	}
	return err
}

// copyOut puts a body into a new file and on stable storage.
func (s *Store) copyOut(path string, from queue.Body) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return describeFile(err)
	}
	_, err = io.Copy(f, io.NewSectionReader(from, 0, from.Size()))
	if err != nil {
		err = describeFile(err)
	} else if err = syncData(f); err == nil {
		err = syncDir(filepath.Dir(path))
		err = s.synced(err)
	} else {
		err = s.synced(err)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

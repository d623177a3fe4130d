package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/backup"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
)

// body opens the bytes of a message in the queue. It looks again where a body was moved meanwhile.
func (r *reader) body(ctx context.Context, id int64) (queue.Body, error) {
	var at bodies.Place
	for {
		stored, err := r.stored(ctx, id)
		if err != nil {
			return nil, err
		}
		b, err := stored.Open(r.dir, r.path)
		if !errors.Is(err, os.ErrNotExist) || stored.At == at {
			return b, err
		}
		at = stored.At
	}
}

// stored reads where a body is, or the body, unless its message has ended and bodies do not stay.
func (r *reader) stored(ctx context.Context, id int64) (stored bodies.Stored, err error) {
	found, stay := false, 0
	if r.stay() {
		stay = 1
	}
	err = r.use(ctx, func(conn *sqlite.Conn) error {
		return database.Rows(conn, "SELECT size, crc, body FROM messages WHERE id = ?1 AND (?2 OR EXISTS (SELECT 1 FROM parts WHERE message = ?1))",
			database.Args{id, stay},
			func(s *sqlite.Stmt) (bool, error) {
				found, stored = true, bodies.Scan(s, id, 0)
				return false, nil
			})
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: %s", queue.ErrNotFound, queue.FormatID(id))
	}
	return stored, err
}

// Body opens the bytes of a message in the queue. The error wraps queue.ErrNotFound, or
// queue.ErrDamaged with the name of the file when the bytes are not those that were accepted.
func (r *reader) Body(ctx context.Context, id string) (queue.Body, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	n, ok := queue.ParseID(id)
	if !ok {
		return nil, fmt.Errorf("%w: %q", queue.ErrNotFound, id)
	}
	return r.body(ctx, n)
}

// holdBodies lets no file of a body go until end is called.
func (s *Store) holdBodies() (end func()) {
	s.segments.Keep(true)
	s.spared.Count(1)
	return func() {
		s.segments.Keep(false)
		for _, id := range s.spared.Count(-1) {
			s.removeBody(id)
		}
	}
}

// Backup implements queue.Operator.
func (s *Store) Backup(ctx context.Context, dir string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	defer s.holdBodies()()
	return s.use(ctx, func(conn *sqlite.Conn) error { return backup.Write(ctx, conn, databaseName, s.dir, dir) })
}

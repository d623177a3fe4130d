package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/disk"
	"mailhatch/gateway/queue/sqlite/feedback"
	"mailhatch/gateway/queue/sqlite/ledger"
	"mailhatch/gateway/queue/sqlite/orphan"
)

const (
	keepFree    = 4 << 20       // bytes of free pages that stay in the file for the next mail
	vacuumPages = 256           // pages given back in one step
	maxTime     = math.MaxInt64 // later than every time in the rows
)

// Prune removes old history and failed parts that are too old or too many, whose recipients get a failed record, and
// gives free pages back. Each step is an op of its own; mail goes on between them.
func (s *Store) Prune(ctx context.Context, k queue.Keep) (done queue.Pruned, err error) {
	if err := s.enter(); err != nil {
		return done, err
	}
	defer s.leave()
	before := s.counts.States()[envelope.Failed].Bytes
	if done.Messages, err = s.pruneFailed(ctx, k.FailedAfter.UnixMilli()); err != nil {
		return done, err
	}
	if k.FailedBytes > 0 {
		n, err := s.pruneExcess(ctx, k.FailedBytes)
		if done.Messages += n; err != nil {
			return done, err
		}
	}
	done.Bytes = max(0, before-s.counts.States()[envelope.Failed].Bytes)
	aside, err := lostFound(s.dir).Prune(k.FailedAfter)
	if done.Aside = len(aside); err != nil {
		return done, err
	}
	s.KeepBodies(k.Bodies)
	if err := s.Keeper.Prune(ctx, k.SentAfter); err != nil {
		return done, err
	}
	if err := s.do(ctx, &op{bytes: rowBytes, run: func(t *tx) error {
		if err := ledger.Prune(t.conn, t.now); err != nil {
			return err
		}
		return feedback.Prune(t.conn, t.now)
	}}); err != nil {
		return done, err
	}
	if err := s.Register.Prune(ctx); err != nil {
		return done, err
	}
	if err := s.gather(ctx); err != nil {
		return done, err
	}
	return done, s.vacuum(ctx)
}

// pruneExcess removes the oldest failed parts beyond a number of bytes, or as many as the reserve of space lacks.
func (s *Store) pruneExcess(ctx context.Context, limit int64) (messages int, err error) {
	lacking, err := s.space.Lacking()
	if err != nil {
		return 0, err
	}
	excess := max(s.counts.States()[envelope.Failed].Bytes-limit, lacking)
	if excess <= 0 {
		return 0, nil
	}
	until := int64(math.MinInt64)
	err = s.use(ctx, func(conn *sqlite.Conn) error {
		return database.Rows(conn, excessQuery, database.Args{row.Failed}, func(st *sqlite.Stmt) (bool, error) {
			until = st.ColumnInt64(0) + 1
			excess -= st.ColumnInt64(1)
			return excess > 0, nil
		})
	})
	if err != nil || until == math.MinInt64 {
		return 0, err
	}
	return s.pruneFailed(ctx, until)
}

const excessQuery = "SELECT next_at, size FROM parts INDEXED BY parts_rest WHERE state <> 0 AND state = ? ORDER BY next_at"

func (s *Store) pruneFailed(ctx context.Context, before int64) (messages int, err error) {
	c, err := row.NewChoice(queue.Filter{State: envelope.Failed})
	if err != nil {
		return 0, err
	}
	c.Until = before
	changed, err := s.apply(ctx, c, action{
		applies: func(p *row.StoredPart) bool { return p.NextAt < before },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *row.StoredPart) error {
			return t.end(p, m, queue.GivenUp(part))
		},
		removes: true,
	})
	return changed.Messages, err
}

// vacuum gives free pages back to the file system as long as there are many of them.
func (s *Store) vacuum(ctx context.Context) error {
	for ctx.Err() == nil {
		var free int64
		err := s.do(ctx, &op{bytes: vacuumPages * database.PageSize, run: func(t *tx) (err error) {
			if free, err = database.Number(t.conn, "PRAGMA freelist_count"); err != nil || free*database.PageSize <= keepFree {
				return err
			}
			return database.Exec(t.conn, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages), nil)
		}})
		if err != nil || free*database.PageSize <= keepFree {
			return err
		}
	}
	return ctx.Err()
}

// gather moves the few bodies that keep a segment alive into files of their own, so that mail that
// waits for long does not hold the space of mail that has gone.
func (s *Store) gather(ctx context.Context) error {
	for _, number := range s.segments.Sparse() {
		var left []bodies.Stored
		err := s.use(ctx, func(conn *sqlite.Conn) error {
			return inSegment(conn, number, func(b bodies.Stored) { left = append(left, b) })
		})
		for i := range left {
			if err == nil && ctx.Err() == nil {
				err = s.moveBody(ctx, &left[i])
			}
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// moveBody gives a body of a segment a file. A damaged one stays where it is.
func (s *Store) moveBody(ctx context.Context, b *bodies.Stored) error {
	from, err := b.Open(s.dir, s.path)
	if errors.Is(err, queue.ErrDamaged) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // in memory
	info, err := s.infoOf(ctx, b.ID)
	if err != nil {
		return err
	}
	t := orphan.Trailer{ID: b.ID, Place: int64(bodies.InFile), Size: b.Size, CRC: b.CRC, Info: info}
	if err := s.copyOut(bodies.Path(s.dir, b.ID), io.MultiReader(io.NewSectionReader(from, 0, b.Size), bytes.NewReader(t.Encode()))); err != nil {
		return err
	}
	moved := false
	err = s.do(ctx, &op{bytes: rowBytes, run: func(t *tx) error {
		err := database.Exec(t.conn, "UPDATE messages SET body = NULL WHERE id = ? AND body = ?", database.Args{b.ID, int64(b.At)})
		if moved = err == nil && t.conn.Changes() == 1; moved {
			t.inSegment(b.At, b.Size, -1)
		}
		return err
	}})
	if !moved && !errors.Is(err, queue.ErrBroken) { // the message went meanwhile
		s.removeBody(b.ID)
	}
	return err
}

// infoOf returns what the row of a message holds beside; nothing when it is gone.
func (s *Store) infoOf(ctx context.Context, id int64) (info []byte, err error) {
	err = s.use(ctx, func(conn *sqlite.Conn) error {
		return database.Rows(conn, "SELECT info FROM messages WHERE id = ?", database.Args{id}, func(st *sqlite.Stmt) (bool, error) {
			info = []byte(st.ColumnText(0))
			return false, nil
		})
	})
	return info, err
}

// copyOut puts a body into a new file and on stable storage.
func (s *Store) copyOut(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return disk.Describe(err)
	}
	_, err = io.Copy(f, from)
	if err != nil {
		err = disk.Describe(err)
	} else if err = disk.SyncData(f); err == nil {
		err = disk.SyncDir(filepath.Dir(path))
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

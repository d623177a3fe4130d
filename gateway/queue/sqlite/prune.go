package sqlite

import (
	"context"
	"fmt"
	"math"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
)

const (
	historyStep = 1000          // records that are looked at in one step
	keepFree    = 4 << 20       // bytes of free pages that stay in the file for the next mail
	vacuumPages = 256           // pages given back in one step
	maxTime     = math.MaxInt64 // later than every time in the rows
)

// Prune removes old history and old failed parts, whose recipients get a failed record, and gives
// free pages back. Each step is an op of its own; mail goes on between them.
func (s *Store) Prune(ctx context.Context, sentBefore, failedBefore time.Time) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.pruneFailed(ctx, failedBefore.UnixMilli()); err != nil {
		return err
	}
	if err := s.pruneHistory(ctx, sentBefore.UnixMilli()); err != nil {
		return err
	}
	if err := s.gather(ctx); err != nil {
		return err
	}
	return s.vacuum(ctx)
}

func (s *Store) pruneFailed(ctx context.Context, before int64) error {
	for ctx.Err() == nil {
		var found int
		var gone []int64
		err := s.do(ctx, &op{bytes: idsPerOp * rowBytes, run: func(t *tx) (err error) {
			found, gone, err = dropFailed(t, before)
			return err
		}})
		if err != nil {
			return err
		}
		for _, id := range gone {
			s.removeBody(id)
		}
		if found < idsPerOp {
			return nil
		}
	}
	return ctx.Err()
}

// dropFailed removes parts that failed before a time from some messages. gone are those without any
// other part.
func dropFailed(t *tx, before int64) (found int, gone []int64, err error) {
	ids, err := failedBefore(t.conn, before)
	if err != nil {
		return 0, nil, err
	}
	for _, id := range ids {
		row, m, err := readMessage(t.conn, id)
		if err != nil {
			return 0, nil, err
		}
		if row == nil {
			continue
		}
		for i := range m.Parts {
			if p := &row.parts[i]; p.state == codeFailed && p.nextAt < before {
				if err := p.discard(t, m, &m.Parts[i], envelope.Failed); err != nil {
					return 0, nil, err
				}
			}
		}
		last, _, err := removeMessage(t, id, false)
		if err != nil {
			return 0, nil, err
		}
		if last {
			gone = append(gone, id)
		}
	}
	return len(ids), gone, nil
}

// failedBefore names some messages with parts that failed before a time.
func failedBefore(conn *sqlite.Conn, before int64) (ids []int64, err error) {
	err = rows(conn, "SELECT DISTINCT message FROM parts INDEXED BY parts_rest WHERE state <> 0 AND state = 2 AND next_at < ? LIMIT ?",
		args{before, idsPerOp},
		func(s *sqlite.Stmt) (bool, error) {
			ids = append(ids, s.ColumnInt64(0))
			return true, nil
		})
	return ids, err
}

// pruneHistory goes through the history from its oldest records. It ends at the first step of which
// all are younger, unless those lie in the future because a clock was wrong.
func (s *Store) pruneHistory(ctx context.Context, before int64) error {
	var after int64 = math.MinInt64
	for ctx.Err() == nil {
		var step historyRange
		err := s.do(ctx, &op{bytes: rowBytes, run: func(t *tx) (err error) {
			if step, err = historyFrom(t.conn, after, before); err != nil || step.old == 0 {
				return err
			}
			return exec(t.conn, "DELETE FROM history WHERE seq > ? AND seq <= ? AND at < ?", args{after, step.last, before})
		}})
		if err != nil {
			return err
		}
		if step.count < historyStep || (step.old == 0 && step.newest <= nowMilli()) {
			return nil
		}
		after = step.last
	}
	return ctx.Err()
}

// historyRange is what a step of pruneHistory looks at.
type historyRange struct {
	count, old   int   // records; those of them that are old
	last, newest int64 // seq of the last; greatest time
}

func historyFrom(conn *sqlite.Conn, after, before int64) (r historyRange, err error) {
	err = rows(conn, "SELECT count(*), coalesce(sum(at < ?2), 0), max(seq), max(at) FROM (SELECT seq, at FROM history WHERE seq > ?1 ORDER BY seq LIMIT ?3)",
		args{after, before, historyStep},
		func(s *sqlite.Stmt) (bool, error) {
			r = historyRange{s.ColumnInt(0), s.ColumnInt(1), s.ColumnInt64(2), s.ColumnInt64(3)}
			return false, nil
		})
	return r, err
}

// vacuum gives free pages back to the file system as long as there are many of them.
func (s *Store) vacuum(ctx context.Context) error {
	for ctx.Err() == nil {
		var free int64
		err := s.do(ctx, &op{bytes: vacuumPages * pageSize, run: func(t *tx) (err error) {
			if free, err = pragma(t.conn, "PRAGMA freelist_count"); err != nil || free*pageSize <= keepFree {
				return err
			}
			return exec(t.conn, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages), nil)
		}})
		if err != nil || free*pageSize <= keepFree {
			return err
		}
	}
	return ctx.Err()
}

// pragma reads a number.
func pragma(conn *sqlite.Conn, query string) (n int64, err error) {
	err = rows(conn, query, nil, func(s *sqlite.Stmt) (bool, error) {
		n = s.ColumnInt64(0)
		return false, nil
	})
	return n, err
}

package sqlite

import (
	"context"
	"fmt"
	"math"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
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
	c, err := newChoice(queue.Filter{State: envelope.Failed})
	if err != nil {
		return err
	}
	c.until = before
	_, err = s.apply(ctx, c, action{
		applies: func(p *storedPart) bool { return p.nextAt < before },
		do: func(t *tx, m *queue.Message, part *queue.Part, p *storedPart) error {
			return p.discard(t, m, part, envelope.Failed)
		},
		removes: true,
	})
	return err
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

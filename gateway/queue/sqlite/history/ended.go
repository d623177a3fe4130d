package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
)

// With the last record of a message goes what is kept of it: the envelope, as its row had it, and the header. Where
// bodies stay, the row of the message stays as it is when its last part goes, and later, many at once, such messages are
// put away: their rows go with their bodies, and what is kept of them comes into the table "finished".

const (
	putAwayStep  = 128 // records that are looked at in one step
	putAwayDelay = time.Second
	aheadMost    = time.Hour // that a time lies in the future and is believed
)

// Kept is what is kept of a message: the text of its row and the header, from the beginning of its bytes; nil: nothing.
func (k *Keeper) Kept(info, message []byte) []byte {
	if k.Veil.HidesAll() {
		return nil
	}
	return row.Kept(info, message, k.Veil.HidesHeader())
}

// Beginning reads as much of a body as may be kept; nil where it cannot be read.
func Beginning(dir string, b *bodies.Stored) []byte {
	if b.At == bodies.InRow {
		return b.Inline
	}
	path, at := bodies.Path(dir, b.ID), int64(0)
	if b.At.InSegment() {
		path, at = bodies.SegmentPath(dir, b.At.Segment()), b.At.Offset()
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return beginning(io.NewSectionReader(f, at, b.Size))
}

func beginning(r *io.SectionReader) []byte {
	p := make([]byte, min(r.Size(), row.MaxFields))
	if n, err := r.ReadAt(p, 0); err == nil || err == io.EOF {
		return p[:n]
	}
	return nil
}

// KeptOf is Kept of a message whose body can be read.
func (k *Keeper) KeptOf(info []byte, body queue.Body) []byte {
	return k.Kept(info, beginning(io.NewSectionReader(body, 0, body.Size())))
}

// Ended is a message without parts that is about to be put away.
type Ended struct {
	ID, Size int64
	At       bodies.Place
	kept     []byte
}

const endedQuery = `SELECT info, size, crc, body FROM messages WHERE id = ?+0 AND NOT EXISTS (SELECT 1 FROM parts WHERE message = id)`

// EndedMessage reads a message that has ended; nil if it has not, or was put away.
func (k *Keeper) EndedMessage(conn *sqlite.Conn, id int64) (e *Ended, err error) {
	var info string
	var b bodies.Stored
	err = database.Rows(conn, endedQuery, database.Args{id}, func(s *sqlite.Stmt) (bool, error) {
		info, b = s.ColumnText(0), bodies.Scan(s, id, 1)
		e = &Ended{ID: id, Size: b.Size, At: b.At}
		return false, nil
	})
	if e != nil && err == nil {
		e.kept = k.Kept([]byte(info), Beginning(k.Dir, &b))
	}
	return e, err
}

const otherEndQuery = "SELECT EXISTS (SELECT 1 FROM history INDEXED BY history_message WHERE message = ? AND state <> ?)"

// AllDiscarded reports whether all recipients of a message that has ended were discarded.
func AllDiscarded(conn *sqlite.Conn, message int64) (bool, error) {
	var other bool
	err := database.Rows(conn, otherEndQuery, database.Args{message, row.Discarded}, func(s *sqlite.Stmt) (bool, error) {
		other = s.ColumnBool(0)
		return false, nil
	})
	return !other, err
}

const putQuery = "INSERT INTO finished (message, size, kept) VALUES (?, ?, ?) ON CONFLICT (message) DO NOTHING"

// Put writes what is kept of a message that has ended.
func Put(conn *sqlite.Conn, e *Ended) error {
	if e.kept == nil {
		return nil
	}
	return database.Exec(conn, putQuery, database.Args{e.ID, e.Size, e.kept})
}

// PutAway looks after messages that have ended until ctx does.
func (k *Keeper) PutAway(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.ended:
		}
		if err := k.putAwayAll(ctx, time.Time{}); err != nil && ctx.Err() == nil && !errors.Is(err, queue.ErrBroken) && !errors.Is(err, queue.ErrClosed) {
			k.Log.Warn("queue: could not clean up after finished messages", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(putAwayDelay):
		}
	}
}

// Left tells that a message has ended whose row has stayed.
func (k *Keeper) Left() {
	select {
	case k.ended <- struct{}{}:
	default:
	}
}

// putAwayAll puts away what has ended and is not to stay, or ended before a time.
func (k *Keeper) putAwayAll(ctx context.Context, before time.Time) error {
	stored := k.keep.Load()
	keep, now := k.keepBodies(), k.Now()
	s := stay{none: keep.For == 0, after: max(now.Add(-keep.For).UnixMilli(), before.UnixMilli()), latest: now.Add(aheadMost).UnixMilli()}
	if s.none && k.clean.Load() {
		return k.Drop(ctx, nil, func(conn *sqlite.Conn) error {
			return setMark(conn, putAwayMark, "(SELECT coalesce(max(seq), 0) FROM history)")
		})
	}
	// What was on its way to the writer when the bounds were set is there after an empty change.
	err := k.Drop(ctx, nil, func(*sqlite.Conn) error { return nil })
	if err == nil {
		s.bound, err = k.bound(ctx, keep)
	}
	for more := true; more && err == nil; {
		more, err = k.putAway(ctx, &s)
	}
	if err == nil && s.none && k.keep.Load() == stored {
		k.clean.Store(true)
	}
	return err
}

// stay says of which records the messages stay as they are.
type stay struct {
	none   bool
	after  int64 // they are younger
	latest int64 // but not younger than this: such a time is that of a clock that was wrong
	bound  int64 // their number is higher
}

func (s *stay) names(seq, at int64) bool {
	return !s.none && at > s.after && at <= s.latest && seq > s.bound
}

// bound returns up to which record messages are put away because of the bounds of count and bytes.
func (k *Keeper) bound(ctx context.Context, keep queue.KeepBodies) (until int64, err error) {
	if keep.For == 0 || keep.Count == 0 && keep.Bytes == 0 {
		return 0, nil
	}
	messages, size, last := 0, int64(0), int64(0)
	err = k.Read(ctx, func(conn *sqlite.Conn) error {
		mark, err := markOf(conn, putAwayMark)
		if err != nil {
			return err
		}
		return database.Rows(conn, boundQuery, database.Args{mark}, func(s *sqlite.Stmt) (bool, error) {
			if id := s.ColumnInt64(1); id != last {
				last = id
				messages++
				size += s.ColumnInt64(2)
			}
			if keep.Count > 0 && messages > keep.Count || keep.Bytes > 0 && size > keep.Bytes {
				until = s.ColumnInt64(0)
			}
			return until == 0, ctx.Err()
		})
	})
	return until, err
}

const boundQuery = `SELECT h.seq, h.message, m.size FROM history h JOIN messages m ON m.id = h.message
	WHERE h.seq > ? AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.message = h.message) ORDER BY h.seq DESC`

// putAway makes one step: it goes through the records behind the mark as far as their messages are not to stay.
func (k *Keeper) putAway(ctx context.Context, stays *stay) (more bool, err error) {
	var gone []*Ended
	last, seen := int64(0), 0
	err = k.Read(ctx, func(conn *sqlite.Conn) error {
		mark, err := markOf(conn, putAwayMark)
		if err != nil {
			return err
		}
		var ids []int64
		err = database.Rows(conn, "SELECT seq, at, message FROM history WHERE seq > ? ORDER BY seq LIMIT ?", database.Args{mark, putAwayStep}, func(s *sqlite.Stmt) (bool, error) {
			if stays.names(s.ColumnInt64(0), s.ColumnInt64(1)) {
				return false, nil
			}
			last = s.ColumnInt64(0)
			seen++
			if id := s.ColumnInt64(2); len(ids) == 0 || ids[len(ids)-1] != id {
				ids = append(ids, id)
			}
			return true, nil
		})
		for _, id := range ids {
			if err != nil {
				break
			}
			var e *Ended
			if e, err = k.EndedMessage(conn, id); e != nil {
				gone = append(gone, e)
			}
		}
		return err
	})
	if err != nil || seen == 0 {
		return false, err
	}
	return seen == putAwayStep, k.Drop(ctx, gone, func(conn *sqlite.Conn) error { return setMarkTo(conn, putAwayMark, last) })
}

// Finished implements queue.History.
func (k *Keeper) Finished(ctx context.Context, id string) (*queue.Finished, error) {
	message, err := parseID(id)
	if err != nil {
		return nil, err
	}
	m := &queue.Finished{ID: queue.FormatID(message)}
	var kept []byte
	err = k.Read(ctx, func(conn *sqlite.Conn) error {
		e, err := k.EndedMessage(conn, message)
		if e != nil {
			m.Kept, m.Size, kept = k.BodiesStay(), e.Size, e.kept
		}
		if e != nil || err != nil {
			return err
		}
		return database.Rows(conn, finishedQuery, database.Args{message}, func(s *sqlite.Stmt) (bool, error) {
			m.Size, kept = s.ColumnInt64(0), make([]byte, s.ColumnLen(1))
			s.ColumnBytes(1, kept)
			return false, nil
		})
	})
	if err != nil {
		return nil, err
	}
	if kept == nil {
		return nil, fmt.Errorf("%w: %s has not left the queue, or nothing is kept of it", queue.ErrNotFound, id)
	}
	return m, row.ReadKept(kept, m)
}

const finishedQuery = `SELECT size, kept FROM finished WHERE message = ?1
	UNION ALL SELECT json_extract(info, '$.size'), kept FROM history INDEXED BY history_message WHERE message = ?1 AND kept IS NOT NULL LIMIT 1`

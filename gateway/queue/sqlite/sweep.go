package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/orphan"
)

func lostFound(dir string) orphan.Dir { return orphan.Dir(filepath.Join(dir, orphan.DirName)) }

// sweep looks after the bodies without a row that were there when the store was opened. A draft that was cut off has
// no trailer, was never acknowledged, and is removed; so is a body of which the history knows what became of each
// recipient. All others are set aside: never is a body removed whose fate is not known. Files with other names are
// left alone.
func (s *Store) sweep(ctx context.Context, left bodies.Found) (found sweeping) {
	err := s.sweepSegments(ctx, left.Segments, &found)
	for _, id := range left.Files {
		if err == nil && ctx.Err() == nil {
			err = s.sweepFile(ctx, id, &found)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("queue: could not look for bodies without a message", "dir", filepath.Join(s.dir, bodies.DirName), "error", err)
	}
	if found.drafts+found.ended > 0 {
		s.log.Info("queue: bodies removed", "drafts_cut_off", found.drafts, "ended", found.ended)
	}
	if n := len(found.aside); n > 0 {
		s.log.Error("queue: set aside bodies without a message", "count", n, "dir", string(lostFound(s.dir)), "first", found.aside[0])
	}
	return found
}

// sweeping counts what a sweep has done.
type sweeping struct {
	drafts, ended int
	aside         []string // names
}

func (s *Store) sweepSegments(ctx context.Context, numbers []int64, found *sweeping) error {
	for _, n := range numbers {
		if err := s.sweepSegment(ctx, n, found); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := s.countSegment(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// sweepSegment sets the bodies of a segment aside that have no row. After a process that closed the store there are
// none in segments that are needed, so that only the others are read.
func (s *Store) sweepSegment(ctx context.Context, n int64, found *sweeping) error {
	needed := false
	if err := s.use(ctx, func(conn *sqlite.Conn) error {
		return inSegment(conn, n, func(bodies.Stored) { needed = true })
	}); err != nil || needed && s.existed && !s.unclean {
		return err
	}
	path := bodies.SegmentPath(s.dir, n)
	size, known, err := s.walkSegment(ctx, path, n, found)
	if err == nil && known == 0 && !needed && s.doubtful() {
		err = s.setAside(found, path, bodies.SegmentName(n), orphan.Report{What: "bodies of messages, one behind the other, that no row names", Bytes: size})
	}
	return err
}

// walkSegment looks at each body of a segment. It returns the size of the file and how many bodies have a trailer.
func (s *Store) walkSegment(ctx context.Context, path string, n int64, found *sweeping) (size int64, known int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	err = orphan.Walk(f, st.Size(), func(t orphan.Trailer, start int64) error {
		if t.Place != int64(bodies.At(n, start)) {
			return nil
		}
		known++
		return s.sweepBody(ctx, f, &t, start, found)
	})
	return st.Size(), known, err
}

// doubtful reports whether bodies without a trailer may be of acknowledged mail: there was no database, or the last
// process was of a version that wrote none and did not close the store.
func (s *Store) doubtful() bool { return !s.existed || s.upgraded && s.unclean }

// sweepBody sets a body of a segment aside unless its fate is known.
func (s *Store) sweepBody(ctx context.Context, f *os.File, t *orphan.Trailer, start int64, found *sweeping) error {
	fate, info, err := s.fate(ctx, t)
	if err != nil || fate != "" {
		return err
	}
	body := make([]byte, t.Size)
	if _, err := f.ReadAt(body, start); err != nil {
		return err
	}
	t.Place = int64(bodies.InFile)
	name := queue.FormatID(t.ID) + bodies.Suffix
	found.aside = append(found.aside, name)
	return lostFound(s.dir).Put(name, report(t, info, f.Name(), crc32.Checksum(body, bodies.Castagnoli()) == t.CRC), body, t.Encode())
}

// sweepFile looks after the file of a body.
func (s *Store) sweepFile(ctx context.Context, id int64, found *sweeping) error {
	path := bodies.Path(s.dir, id)
	at, exists := bodies.InRow, false
	if err := s.use(ctx, func(conn *sqlite.Conn) (err error) {
		at, _, exists, err = whereIs(conn, id)
		return err
	}); err != nil || exists && at == bodies.InFile {
		return err
	}
	t, ok, whole, err := orphan.Open(path, int64(bodies.InFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case exists: // its body is elsewhere
		return os.Remove(path)
	case !ok || t.ID != id:
		if s.doubtful() {
			return s.setAside(found, path, filepath.Base(path), orphan.Report{What: "the body of message " + queue.FormatID(id) + ", or the beginning of one"})
		}
		found.drafts++
		return os.Remove(path)
	}
	fate, info, err := s.fate(ctx, &t)
	if err != nil {
		return err
	}
	if fate != "" {
		found.ended++
		return os.Remove(path)
	}
	return s.setAside(found, path, filepath.Base(path), report(&t, info, path, whole))
}

// setAside moves a file of bodies into lost+found.
func (s *Store) setAside(found *sweeping, path, name string, r orphan.Report) error {
	if r.Why == "" {
		r.From, r.Why = path, "no row of the database names it, and it does not bring its envelope: it was written by an older version, or was cut off"
	}
	found.aside = append(found.aside, name)
	return lostFound(s.dir).Take(path, name, r)
}

// report describes a body that is set aside.
func report(t *orphan.Trailer, info *row.MessageInfo, path string, whole bool) orphan.Report {
	var e *envelope.Envelope
	if info != nil {
		e = &info.Envelope
	}
	return t.Report(queue.FormatID(t.ID), e, path, whole)
}

// fate says what is known of the message of a trailer: it is in the queue, or the history names each of its
// recipients. "" is for neither.
func (s *Store) fate(ctx context.Context, t *orphan.Trailer) (fate string, info *row.MessageInfo, err error) {
	info = &row.MessageInfo{}
	if json.Unmarshal(t.Info, info) != nil {
		return "", nil, nil
	}
	err = s.use(ctx, func(conn *sqlite.Conn) error {
		_, _, exists, err := whereIs(conn, t.ID)
		if err != nil || exists {
			fate = "queued"
			return err
		}
		ended, err := endedRecipients(conn, t.ID)
		if err == nil && len(info.Envelope.To) > 0 &&
			!slices.ContainsFunc(info.Envelope.To, func(r envelope.Recipient) bool { return !s.names(ended, r.Address) }) {
			fate = "ended"
		}
		return err
	})
	return fate, info, err
}

// endedRecipients returns the recipients of a message that the history names, as it does.
func endedRecipients(conn *sqlite.Conn, id int64) (names, error) {
	ended := names{}
	err := database.Rows(conn, "SELECT recipient FROM history INDEXED BY history_message WHERE message = ?", database.Args{id}, func(st *sqlite.Stmt) (bool, error) {
		ended[st.ColumnText(0)] = true
		return true, nil
	})
	return ended, err
}

// names are those of recipients in the history.
type names map[string]bool

// names reports whether an address is one of the names, or hidden by one.
func (s *Store) names(n names, address string) bool { return n[address] || n[s.Veil.Address(address)] }

// removeBody removes the file of a message that is gone. What stays is removed at the next start.
func (s *Store) removeBody(id int64) {
	if s.spared.Add(id) {
		return
	}
	if err := os.Remove(bodies.Path(s.dir, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("queue: could not remove a body", "error", err)
	}
}

// whereIs returns the place and the size of a body. It does not read bodies that are in rows.
func whereIs(conn *sqlite.Conn, id int64) (at bodies.Place, size int64, exists bool, err error) {
	err = database.Rows(conn, "SELECT CASE typeof(body) WHEN 'blob' THEN 0 WHEN 'null' THEN -1 ELSE body END, size FROM messages WHERE id = ?",
		database.Args{id},
		func(s *sqlite.Stmt) (bool, error) {
			at, size, exists = bodies.Place(s.ColumnInt64(0)), s.ColumnInt64(1), true
			return false, nil
		})
	return at, size, exists, err
}

const segmentQuery = `SELECT size, crc, body, id FROM messages INDEXED BY messages_segment
	WHERE typeof(body) = 'integer' AND body >= ? AND body < ?`

// inSegment calls each for the messages whose bodies are in a segment.
func inSegment(conn *sqlite.Conn, number int64, each func(bodies.Stored)) error {
	return database.Rows(conn, segmentQuery,
		database.Args{bodies.First(number), bodies.First(number + 1)},
		func(s *sqlite.Stmt) (bool, error) {
			each(bodies.Scan(s, s.ColumnInt64(3), 0))
			return true, nil
		})
}

// segmentLoad returns what rows name in a segment. It runs in the writer.
func (s *Store) segmentLoad(number int64) (l bodies.Load, err error) {
	err = inSegment(s.writer, number, func(b bodies.Stored) {
		l.Bodies++
		l.Bytes += b.Size
	})
	return l, err
}

// countSegment has the writer count a segment of a former process and remove it if nobody needs it.
func (s *Store) countSegment(ctx context.Context, number int64) error {
	return s.do(ctx, &op{bytes: 1, run: func(t *tx) error {
		t.inSegment(bodies.Place(bodies.First(number)), 0, 0)
		return nil
	}})
}

// removeDeadSegments removes segments that nobody needs any more. It runs in the writer, between two groups,
// and trusts nothing but the rows. What stays is removed at the next start.
func (s *Store) removeDeadSegments() {
	if s.failure.Load() != nil {
		return // nobody knows what the rows are
	}
	for _, number := range s.segments.Dead() {
		l, err := s.segmentLoad(number)
		if err == nil && l.Bodies > 0 {
			s.log.Error("queue: did not remove a segment that is still needed", "segment", bodies.SegmentName(number), "bodies", l.Bodies)
		}
		if err == nil && l.Bodies == 0 {
			err = os.Remove(bodies.SegmentPath(s.dir, number))
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("queue: could not remove a segment", "error", err)
		}
	}
}

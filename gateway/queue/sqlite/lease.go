package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
)

// leases is the table of parts that are being worked on. It lives in memory alone, so that a claim
// writes nothing and a restart frees everything at once; the lock of the state directory makes sure
// that no other process claims.
//
// Why no part is given out twice: Finish takes its lease off the table after its commit, under mu. A
// claim takes mu first and its snapshot of the rows after that. So a part that the snapshot still
// shows and the table does not hold was never finished before the snapshot.
type leases struct {
	mu   sync.Mutex
	conn *sqlite.Conn // for snapshots, which are taken under mu
	held map[row.Key]*lease
}

// lease is the right to work on a part for as long as the table holds it under the part's key.
type lease struct {
	store   *Store
	key     row.Key
	part    row.Part
	message *queue.Message
	info    string
	row     *row.Message // that message is made of, until it is
	body    bodies.Stored

	until       time.Time // guarded by leases.mu
	finishing   bool      // guarded by leases.mu: a Finish is on its way, no one may take over
	interrupted bool      // an earlier lease ended by time
}

// Claim leases due parts of a lane. It writes nothing and does not wait for the writer.
func (s *Store) Claim(ctx context.Context, lane string, max int, d time.Duration) ([]queue.Lease, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.err(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil || max <= 0 {
		return nil, err
	}
	if err := s.allowLeases(ctx, lane, max); err != nil {
		return nil, err
	}
	granted, err := s.leases.grant(s, lane, max, d)
	if err != nil {
		return nil, database.Describe(s.path, err)
	}
	out := make([]queue.Lease, 0, len(granted))
	for _, l := range granted {
		if err := l.decode(); err != nil {
			// It stays in the table, so that the lane goes on with the others until the lease ends.
			s.log.Error("queue: skipped a damaged row", "file", s.path, "error", err)
			continue
		}
		out = append(out, l)
	}
	return out, nil
}

// grant chooses parts that are due and free and enters them into the table.
func (t *leases) grant(s *Store, lane string, max int, d time.Duration) ([]*lease, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var granted []*lease
	now := time.Now()
	err := t.due(lane, s.now().UnixMilli(), func(key row.Key, nextAt int64) (bool, error) {
		if t.taken(key, now) {
			return true, nil
		}
		l := &lease{store: s, key: key, until: now.Add(d), interrupted: t.held[key] != nil}
		if m := s.fresh.take(key, lane, nextAt); m != nil {
			l.part, l.body, l.info, l.message = m.part, m.body, m.info, m.message
		} else if ok, err := l.fetch(t.conn); err != nil || !ok {
			return err == nil, err
		}
		granted = append(granted, l)
		return len(granted) < max, nil
	})
	if err != nil {
		return nil, err
	}
	for _, l := range granted {
		t.held[l.key] = l
	}
	return granted, nil
}

// Values stand in expressions where they are compared for equality, for SQLite (from 3.54 on) plans a
// query anew whenever a bare parameter there is bound anew, which costs more than the query.
const (
	dueQuery = `SELECT message, n, next_at FROM parts INDEXED BY parts_due
		WHERE state = 0 AND lane = ?||'' AND next_at <= ? ORDER BY next_at, message, n`
	fetchQuery = `SELECT p.state, p.lane, p.next_at, p.size, p.info, m.info, m.size, m.crc, m.body
		FROM parts p JOIN messages m ON m.id = p.message WHERE p.message = ?+0 AND p.n = ?+0`
)

// due calls each for the queued parts of a lane that are due by a time, the longest due first, until
// it returns false. The query is answered by the index alone.
func (t *leases) due(lane string, by int64, each func(row.Key, int64) (bool, error)) error {
	return database.Rows(t.conn, dueQuery,
		database.Args{lane, by},
		func(s *sqlite.Stmt) (bool, error) {
			return each(row.Key{Message: s.ColumnInt64(0), N: s.ColumnInt64(1)}, s.ColumnInt64(2))
		})
}

// fetch reads the part with its message, and the body if it is in the row.
func (l *lease) fetch(conn *sqlite.Conn) (ok bool, err error) {
	err = database.Rows(conn, fetchQuery,
		database.Args{l.key.Message, l.key.N},
		func(s *sqlite.Stmt) (bool, error) {
			ok = true
			part := scanPart(s, l.key)
			l.part = part.Part
			l.row = &row.Message{ID: l.key.Message, Info: s.ColumnText(5), Size: s.ColumnInt64(6), Parts: []row.StoredPart{part}}
			l.info, l.body = l.row.Info, bodies.Scan(s, l.key.Message, 6)
			return false, nil
		})
	return ok, err
}

// decode makes the message of the row, unless it was remembered.
func (l *lease) decode() (err error) {
	if l.message == nil {
		l.message, err = l.row.Decode()
		l.row = nil
	}
	if l.interrupted && err == nil {
		l.message.Parts[0].Interrupted = true
	}
	return err
}

// taken reports whether nobody may claim a part now. t.mu is held.
func (t *leases) taken(key row.Key, now time.Time) bool {
	l := t.held[key]
	return l != nil && (l.finishing || now.Before(l.until))
}

// reserve keeps a part from being claimed until it is dropped; it returns false if the part is leased.
func (t *leases) reserve(key row.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken(key, time.Now()) {
		return false
	}
	t.held[key] = &lease{finishing: true}
	return true
}

// holds reports whether a part is leased, or its lease ended by time alone.
func (t *leases) holds(key row.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.held[key]
	return l != nil && l.store != nil
}

// drop takes parts off the table.
func (t *leases) drop(keys []row.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		delete(t.held, key)
	}
}

// Lanes returns for each lane how many parts are queued, leased ones among them, and when the next one
// can be claimed: when it is due or, for a leased one, when its lease ends.
func (s *Store) Lanes(ctx context.Context) (map[string]queue.Lane, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	served := s.served.Load()
	out := map[string]queue.Lane{}
	for lane, parts := range s.counts.Lanes() {
		next, ok, err := s.leases.next(lane, s.now())
		if err != nil {
			return nil, database.Describe(s.path, err)
		}
		if ok {
			out[lane] = queue.Lane{Served: served != nil && slices.Contains(*served, lane), Queued: parts, NextAt: next}
		}
	}
	return out, nil
}

// next returns when the next part of a lane can be claimed; ok is false where none is queued.
func (t *leases) next(lane string, now time.Time) (next time.Time, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	err = t.due(lane, maxTime, func(key row.Key, at int64) (bool, error) {
		free := time.UnixMilli(at)
		l := t.held[key]
		if l != nil {
			if end := now.Add(time.Until(l.until)); end.After(free) {
				free = end
			}
		}
		if !ok || free.Before(next) {
			next, ok = free, true
		}
		return l != nil, nil
	})
	return next, ok, err
}

func (l *lease) Message() *queue.Message { return l.message }

// Body opens the bytes of the message; see [Store.Body].
func (l *lease) Body() (queue.Body, error) {
	b, err := l.body.Open(l.store.dir, l.store.path)
	if !errors.Is(err, os.ErrNotExist) {
		return b, err
	}
	if err := l.store.enter(); err != nil { // it may have been moved
		return nil, err
	}
	defer l.store.leave()
	return l.store.body(context.Background(), l.key.Message)
}

// Extend makes the lease last for d from now.
func (l *lease) Extend(_ context.Context, d time.Duration) error {
	return l.change(true, func(*leases) { l.until = time.Now().Add(d) })
}

// Release gives the part back. Nothing was written when it was claimed, so nothing is now.
func (l *lease) Release(context.Context) error {
	err := l.change(false, func(t *leases) {
		if delete(t.held, l.key); l.interrupted { // who claims the part next must know
			t.held[l.key] = &lease{store: l.store, key: l.key, part: l.part}
		}
	})
	if err == nil {
		l.store.signal()
	}
	return err
}

// change calls f under the lock of the table, unless the lease is lost or, where that matters, on its way out.
func (l *lease) change(finishing bool, f func(*leases)) error {
	t := &l.store.leases
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[l.key] != l || l.finishing && !finishing {
		return l.fenced()
	}
	f(t)
	return nil
}

func (l *lease) fenced() error {
	return fmt.Errorf("%w: message %s", queue.ErrFenced, queue.FormatID(l.key.Message))
}

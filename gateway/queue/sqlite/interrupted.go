package sqlite

import (
	"cmp"
	"context"
	"math/bits"

	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/wal"
)

// Leases live in memory alone, so nothing on disk says which parts a dead process was offering. But claims take what
// is due longest first: of each lane, these parts are among the first that were due then, and no more than were leased
// at once. The mark of the open store holds a bound of that number, and twice as many are flagged after an unclean
// stop, for mail can come to stand before one that was claimed while its commit was on the way. When the store is
// closed well, the leases that are left are flagged one by one. What an operator changes while it is leased is
// flagged at once, as it changes its place.

const (
	leasedLeast   = 64  // parts of one lane that can be leased before the bound is raised
	leasedUnknown = 256 // the bound of a process that left none
)

// allowLeases makes sure that the mark allows for n more leases of a lane.
func (s *Store) allowLeases(ctx context.Context, lane string, n int) error {
	n += s.leases.count(lane)
	if int64(n) <= s.leased.Load() {
		return nil
	}
	bound := 1 << bits.Len(uint(n))
	return s.do(ctx, &op{run: func(*tx) error {
		if err := s.mark.Allow(uint32(bound)); err != nil {
			return err
		}
		s.leased.Store(int64(bound))
		return nil
	}})
}

// count returns how many parts of a lane are leased.
func (t *leases) count(lane string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.held {
		if l.part.Lane == lane {
			n++
		}
	}
	return n
}

// keys returns all parts that are leased.
func (t *leases) keys() (keys []row.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.held {
		keys = append(keys, key)
	}
	return keys
}

const (
	flagQuery = `UPDATE parts SET info = json_set(iif(info = '', '{}', info), '$.interrupted', json('true'))
	WHERE state IN (0, 1) AND (info = '' OR json_valid(info)) AND (message, n) IN `
	flagDueQuery = flagQuery + `(SELECT message, n FROM parts INDEXED BY parts_due
	WHERE state = 0 AND lane = ?||'' AND next_at <= ? ORDER BY next_at, message, n LIMIT ?)`
	flagOneQuery = flagQuery + `(VALUES (?, ?))`
)

// flagDue flags what a process may have been offering that did not close the store.
func (s *Store) flagDue(last wal.Mark) error {
	by, bound := max(s.now().UnixMilli(), last.At), cmp.Or(last.Leased, leasedUnknown) // the clock may have been set back
	flagged := 0
	for lane := range s.counts.Lanes() {
		if err := database.Exec(s.writer, flagDueQuery, database.Args{lane, by, 2 * int64(bound)}); err != nil {
			return err
		}
		flagged += s.writer.Changes()
	}
	s.leased.Store(leasedLeast)
	if err := s.mark.Allow(leasedLeast); err != nil {
		return err
	}
	s.log.Warn("queue: the last process did not shut down cleanly; mail that it may have been sending counts as interrupted", "parts", flagged)
	return nil
}

// flagLeased flags what is leased when the store is closed well. It runs after the writer.
func (s *Store) flagLeased() error {
	keys := s.leases.keys()
	if len(keys) == 0 {
		return nil
	}
	if err := database.Exec(s.writer, "BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	for _, key := range keys {
		if err := database.Exec(s.writer, flagOneQuery, database.Args{key.Message, key.N}); err != nil {
			return err
		}
	}
	return database.Exec(s.writer, "COMMIT", nil)
}

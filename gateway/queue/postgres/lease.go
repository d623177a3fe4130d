package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// held are the leases of this process.
type held struct {
	mu     sync.Mutex
	leases map[*lease]struct{}
}

func (h *held) add(leases []*lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range leases {
		h.leases[l] = struct{}{}
	}
}

// drop forgets a lease that has ended.
func (h *held) drop(l *lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.over = true
	delete(h.leases, l)
}

// all returns the leases in the order of their parts, without those whose time is over, as their holders asked.
func (h *held) all() (list []*lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for l := range h.leases {
		if now.After(l.until) {
			delete(h.leases, l)
			continue
		}
		list = append(list, l)
	}
	slices.SortFunc(list, (*lease).compare)
	return list
}

// compare is the order in which rows are locked.
func (l *lease) compare(o *lease) int {
	return cmp.Or(cmp.Compare(l.key.Message, o.key.Message), cmp.Compare(l.key.N, o.key.N))
}

// isOver reports whether a lease is known to be lost.
func (h *held) isOver(l *lease) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return l.over
}

func (l *lease) fenced() error {
	return fmt.Errorf("%w: message %s", queue.ErrFenced, queue.FormatID(l.key.Message))
}

// Extend makes the lease last for d from now. While the database is known to have it for long enough, it need not hear of that:
// the heartbeat goes on.
func (l *lease) Extend(ctx context.Context, d time.Duration) error {
	s := l.store
	if err := s.calls.Enter(); err != nil {
		return err
	}
	defer s.calls.Leave()
	now := time.Now()
	s.held.mu.Lock()
	over := l.over
	known := !over && now.Round(0).Before(l.valid.Round(0).Add(-s.lease/2)) && now.Before(l.valid.Add(-s.lease/2))
	if !over {
		l.until = now.Add(d)
		s.held.leases[l] = struct{}{}
	}
	s.held.mu.Unlock()
	if over {
		return l.fenced()
	}
	if known {
		return nil
	}
	lost, err := s.extend(ctx, []*lease{l})
	if err == nil && len(lost) > 0 {
		return l.fenced()
	}
	return err
}

// extendStep is how many leases one statement extends.
const extendStep = 500

// A sign of life that a crash of the server takes back is given again soon: it does not wait for the disk.
const extendQuery = `WITH soft AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
	k AS MATERIALIZED (SELECT k.*, ` + database.Now + ` + k.d AS until FROM soft, unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[]) k(message, n, fence, d))
	UPDATE parts p SET lease_until = k.until FROM k WHERE p.message = k.message AND p.n = k.n AND p.fence = k.fence AND p.holder = $5 AND p.lease_until <> 0
	RETURNING p.message, p.n`

// extend writes until when leases last, and returns those that are lost.
func (s *Store) extend(ctx context.Context, leases []*lease) (lost []*lease, err error) {
	now := time.Now()
	var message, n, d []int64
	var fence []int32
	ends := make([]time.Time, len(leases))
	s.held.mu.Lock()
	for i, l := range leases {
		ends[i] = now.Add(min(l.until.Sub(now), s.lease))
		message, n, fence, d = append(message, l.key.Message), append(n, l.key.N), append(fence, int32(l.fence)), append(d, ends[i].Sub(now).Milliseconds())
	}
	s.held.mu.Unlock()
	rows, err := s.pool.Query(ctx, extendQuery, message, n, fence, d, s.session)
	if err != nil {
		return nil, database.Describe(err)
	}
	kept := map[row.Key]bool{}
	_, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (k row.Key, err error) {
		err = r.Scan(&k.Message, &k.N)
		kept[k] = true
		return k, err
	})
	if err != nil {
		return nil, database.Describe(err)
	}
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	for i, l := range leases {
		if kept[l.key] {
			l.valid = ends[i]
		} else if !l.over { // an over one is finished, or released
			l.over = true
			delete(s.held.leases, l)
			lost = append(lost, l)
		}
	}
	return lost, nil
}

// extendAll gives a sign of life for all leases.
func (s *Store) extendAll(ctx context.Context) error {
	for step := range slices.Chunk(s.held.all(), extendStep) {
		if _, err := s.extend(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

const releaseQuery = "UPDATE parts SET lease_until = 0 WHERE message = $1 AND n = $2 AND fence = $3 AND holder = $4 AND lease_until <> 0"

// Release gives the part back.
func (l *lease) Release(ctx context.Context) error {
	s := l.store
	if err := s.calls.Enter(); err != nil {
		return err
	}
	defer s.calls.Leave()
	if s.held.isOver(l) {
		return l.fenced()
	}
	tag, err := s.pool.Exec(ctx, releaseQuery, l.key.Message, l.key.N, l.fence, s.session)
	if err != nil {
		return database.Describe(err)
	}
	s.held.drop(l)
	if tag.RowsAffected() == 0 {
		return l.fenced()
	}
	s.lanes.of(l.row.Parts[0].Lane).Reset()
	s.signal()
	return nil
}

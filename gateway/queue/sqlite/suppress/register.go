package suppress

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/veil"
)

// Access is what a register may do with the store.
type Access struct {
	Write func(ctx context.Context, rows int, change func(*sqlite.Conn) error) error // may call change again, if it was undone
	Read  func(ctx context.Context, question func(*sqlite.Conn) error) error
	Veil  *veil.Veil
	Now   func() time.Time
}

// Register is the list of an open store.
type Register struct {
	write func(ctx context.Context, rows int, change func(*sqlite.Conn) error) error
	read  func(ctx context.Context, question func(*sqlite.Conn) error) error
	veil  *veil.Veil
	now   func() time.Time
	some  atomic.Bool // false only while no row is there
	rules atomic.Pointer[queue.SuppressionRules]
}

var _ queue.Suppressions = (*Register)(nil)

// NewRegister returns the list of a store. Until Load it takes the list for one that may hold something.
func NewRegister(a Access) *Register {
	r := &Register{write: a.Write, read: a.Read, veil: a.Veil, now: a.Now}
	r.some.Store(true)
	r.SuppressOn(queue.SuppressionRules{})
	return r
}

// SuppressOn implements queue.Suppressions.
func (r *Register) SuppressOn(rules queue.SuppressionRules) { r.rules.Store(&rules) }

// Due returns what something that was told puts on the list by the rules in force; false: nothing.
func (r *Register) Due(told *queue.Joined) (queue.Suppression, bool) {
	return r.rules.Load().Entry(told, r.now())
}

// Load learns whether there is any entry.
func (r *Register) Load(conn *sqlite.Conn) error {
	n, err := database.Number(conn, "SELECT EXISTS (SELECT 1 FROM suppressions)")
	r.some.Store(n != 0)
	return err
}

// Suppress implements queue.Suppressions.
func (r *Register) Suppress(ctx context.Context, entries ...queue.Suppression) (added int, err error) {
	for i := range entries {
		if err := entries[i].Check(); err != nil {
			return 0, err
		}
	}
	err = r.write(ctx, len(entries), func(conn *sqlite.Conn) error {
		added = 0
		for i := range entries {
			new, err := r.Put(conn, entries[i])
			if err != nil {
				return err
			}
			if new {
				added++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return added, nil
}

// Lift implements queue.Suppressions.
func (r *Register) Lift(ctx context.Context, domain string, addresses ...string) (lifted []queue.Suppression, err error) {
	err = r.write(ctx, len(addresses), func(conn *sqlite.Conn) error {
		lifted = nil
		for _, address := range addresses {
			found, err := r.find(conn, domain, address)
			for i := range found {
				if err == nil && (domain == queue.AnyDomain || strings.EqualFold(found[i].Domain, domain)) {
					err = lift(conn, &found[i])
					lifted = append(lifted, found[i])
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lifted, nil
}

// Suppressed implements queue.Suppressions.
func (r *Register) Suppressed(ctx context.Context, domain string, addresses ...string) (found []queue.Suppression, err error) {
	if !r.some.Load() {
		return nil, nil
	}
	now := r.now()
	err = r.read(ctx, func(conn *sqlite.Conn) error {
		found = nil
		for _, address := range addresses {
			list, err := r.find(conn, domain, address)
			if err != nil {
				return err
			}
			for i := range list {
				if list[i].InForce(now) {
					list[i].Address = address
					found = append(found, list[i])
				}
			}
		}
		return nil
	})
	return found, err
}

// Suppressions implements queue.Suppressions.
func (r *Register) Suppressions(ctx context.Context, f queue.SuppressionFilter) (list []queue.Suppression, err error) {
	query, args := newestQuery, database.Args{}
	if f.After != "" {
		query = olderQuery
		at, address, domain, err := row.ParsePlace(f.After)
		if err != nil {
			return nil, err
		}
		args = database.Args{at, address, domain}
	}
	now := r.now()
	err = r.read(ctx, func(conn *sqlite.Conn) error {
		list = nil
		if f.Address != "" && !strings.ContainsAny(f.Address, "*?") {
			return r.named(conn, f, now, &list)
		}
		return rows(conn, query, args, func(s queue.Suppression) (bool, error) {
			if s.InForce(now) && f.Matches(&s) {
				list = append(list, s)
			}
			return f.Limit == 0 || len(list) < f.Limit, nil
		})
	})
	return list, err
}

// named lists the entries of one address, which the list may know by its digest. They are one page.
func (r *Register) named(conn *sqlite.Conn, f queue.SuppressionFilter, now time.Time, list *[]queue.Suppression) error {
	if f.After != "" {
		return nil
	}
	found, err := r.find(conn, queue.AnyDomain, f.Address)
	f.Address = ""
	for i := range found {
		if s := &found[i]; s.InForce(now) && f.Matches(s) {
			*list = append(*list, *s)
		}
	}
	return err
}

// pruneStep is how many entries Prune removes in one write.
const pruneStep = 1000

// Prune removes entries that have run out.
func (r *Register) Prune(ctx context.Context) error {
	for n := pruneStep; n == pruneStep; {
		err := r.write(ctx, 1, func(conn *sqlite.Conn) error {
			err := database.Exec(conn, pruneQuery, database.Args{r.now().UnixMilli(), pruneStep})
			n = conn.Changes()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

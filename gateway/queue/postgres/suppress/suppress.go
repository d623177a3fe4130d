// Package suppress has the table of the addresses that mail is not offered to.
package suppress

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/veil"
	"mailhatch/mime"
)

// DB is a pool of connections.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

type queries interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Register is the list of an open store.
type Register struct {
	db     DB
	change func(ctx context.Context, do func(pgx.Tx) error) error // may call do again, if it was undone
	veil   *veil.Veil
	now    func() time.Time
	some   atomic.Bool               // false only while no row is there, as far as was heard
	put    atomic.Pointer[time.Time] // the last entry of this gateway's own; nil: none
	rules  atomic.Pointer[queue.SuppressionRules]
}

var _ queue.Suppressions = (*Register)(nil)

// New returns the list of a store. Until Learn it takes the list for one that may hold something.
func New(db DB, change func(context.Context, func(pgx.Tx) error) error, v *veil.Veil, now func() time.Time) *Register {
	r := &Register{db: db, change: change, veil: v, now: now}
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

// putRest is longer than any transaction that a look at the list may not have seen yet.
const putRest = time.Minute

// Learn says whether there is any entry: other gateways may have made one a moment ago. That there is none is not believed while an
// entry of this gateway's own may have been written after the look began.
func (r *Register) Learn(some bool) {
	if some || !r.putLately() {
		r.some.Store(some)
	}
	if r.putLately() { // since the line above
		r.some.Store(true)
	}
}

func (r *Register) putLately() bool {
	last := r.put.Load()
	return last != nil && time.Since(*last) < putRest
}

const (
	columns   = "address, domain, reason, at, until, info"
	findQuery = "SELECT " + columns + ` FROM suppressions WHERE address = ANY($1) AND ($2 = '*' OR domain IN ('', $2)) ORDER BY domain COLLATE "C", address COLLATE "C"`
	putQuery  = `INSERT INTO suppressions (` + columns + `) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (address, domain) DO UPDATE
		SET reason = excluded.reason, at = excluded.at, until = excluded.until, info = excluded.info`
	liftQuery   = "DELETE FROM suppressions WHERE address = $1 AND domain = $2"
	newestQuery = "SELECT " + columns + ` FROM suppressions WHERE (at, address COLLATE "C", domain COLLATE "C") < ($1, $2, $3)
		ORDER BY at DESC, address COLLATE "C" DESC, domain COLLATE "C" DESC LIMIT 1000`
	pruneQuery = "DELETE FROM suppressions WHERE until > 0 AND until <= $1"
	// Lock lets one change the list at a time: entries of an address and of its digest are one.
	Lock = "SELECT pg_advisory_xact_lock(hashtextextended('mailhatch suppressions', 0))"
)

// Suppress implements queue.Suppressions.
func (r *Register) Suppress(ctx context.Context, entries ...queue.Suppression) (added int, err error) {
	for i := range entries {
		if err := entries[i].Check(); err != nil {
			return 0, err
		}
	}
	err = r.change(ctx, func(tx pgx.Tx) error {
		added = 0
		if _, err := tx.Exec(ctx, Lock); err != nil {
			return err
		}
		for i := range entries {
			is, err := r.Put(ctx, tx, entries[i])
			if err != nil {
				return err
			}
			if is {
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

// Put writes an entry, unless one is there that does not give way to it, in a transaction that holds Lock. What the history does
// not keep, the list does not either.
func (r *Register) Put(ctx context.Context, tx pgx.Tx, s queue.Suppression) (added bool, err error) {
	if err := s.Check(); err != nil {
		return false, err
	}
	s.Domain = database.Text(strings.ToLower(s.Domain))
	s.At = s.At.Truncate(time.Millisecond)
	found, err := r.find(ctx, tx, s.Domain, s.Address)
	if err != nil {
		return false, err
	}
	if !s.MayReplace(found, r.now()) {
		return false, nil
	}
	for i := range found {
		if found[i].Domain != s.Domain {
			continue
		}
		if err := lift(ctx, tx, &found[i]); err != nil {
			return false, err
		}
	}
	now := time.Now()
	r.put.Store(&now)
	r.some.Store(true)
	r.veil.Suppression(&s)
	stored, err := row.NewSuppression(&s)
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, putQuery, database.Text(stored.Address), stored.Domain, database.Text(stored.Reason), stored.At, stored.Until, stored.Info)
	return true, err
}

// Delivered takes an address off the list that a delivery shows to be fine again, to it from senders of a domain, in a
// transaction that holds Lock.
func (r *Register) Delivered(ctx context.Context, tx pgx.Tx, domain, address string, at time.Time) (lifted []queue.Suppression, err error) {
	found, err := r.find(ctx, tx, domain, address)
	for i := range found {
		if s := &found[i]; err == nil && s.EndedBy(at) {
			if err = lift(ctx, tx, s); err == nil {
				lifted = append(lifted, *s)
			}
		}
	}
	return lifted, err
}

// IsEmpty reports whether nothing is on the list, as far as was heard.
func (r *Register) IsEmpty() bool { return !r.some.Load() }

// Lift implements queue.Suppressions.
func (r *Register) Lift(ctx context.Context, domain string, addresses ...string) (lifted []queue.Suppression, err error) {
	err = r.change(ctx, func(tx pgx.Tx) error {
		lifted = nil
		if _, err := tx.Exec(ctx, Lock); err != nil {
			return err
		}
		for _, address := range addresses {
			found, err := r.find(ctx, tx, domain, address)
			for i := range found {
				if err == nil && (domain == queue.AnyDomain || strings.EqualFold(found[i].Domain, domain)) {
					err = lift(ctx, tx, &found[i])
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
	for _, address := range addresses {
		list, err := r.find(ctx, r.db, domain, address)
		if err != nil {
			return nil, database.Describe(err)
		}
		for i := range list {
			if list[i].InForce(now) {
				list[i].Address = address
				found = append(found, list[i])
			}
		}
	}
	return found, nil
}

// Suppressions implements queue.Suppressions.
func (r *Register) Suppressions(ctx context.Context, f queue.SuppressionFilter) (list []queue.Suppression, err error) {
	args := []any{int64(1<<63 - 1), "", ""}
	if f.After != "" {
		at, address, domain, err := row.ParsePlace(f.After)
		if err != nil {
			return nil, err
		}
		args = []any{at, database.Text(address), database.Text(domain)}
	}
	now := r.now()
	if f.Address != "" && !strings.ContainsAny(f.Address, "*?") {
		return r.named(ctx, f, now)
	}
	for {
		page, err := r.rows(ctx, r.db, newestQuery, args...)
		if err != nil {
			return nil, database.Describe(err)
		}
		for i := range page {
			s := &page[i]
			args = []any{s.At.UnixMilli(), key(s), s.Domain}
			if s.InForce(now) && f.Matches(s) {
				list = append(list, *s)
			}
			if f.Limit > 0 && len(list) == f.Limit {
				return list, nil
			}
		}
		if len(page) == 0 {
			return list, nil
		}
	}
}

// named lists the entries of one address, which the list may know by its digest. They are one page.
func (r *Register) named(ctx context.Context, f queue.SuppressionFilter, now time.Time) (list []queue.Suppression, err error) {
	if f.After != "" {
		return nil, nil
	}
	found, err := r.find(ctx, r.db, queue.AnyDomain, f.Address)
	f.Address = ""
	for i := range found {
		if s := &found[i]; s.InForce(now) && f.Matches(s) {
			list = append(list, *s)
		}
	}
	return list, database.Describe(err)
}

// Prune removes entries that have run out.
func (r *Register) Prune(ctx context.Context) error {
	_, err := r.db.Exec(ctx, pruneQuery, r.now().UnixMilli())
	return database.Describe(err)
}

// lift removes an entry as it was read.
func lift(ctx context.Context, tx pgx.Tx, s *queue.Suppression) error {
	_, err := tx.Exec(ctx, liftQuery, key(s), s.Domain)
	return err
}

// find returns the entries for an address in mail from senders of a domain.
func (r *Register) find(ctx context.Context, db queries, domain, address string) ([]queue.Suppression, error) {
	keys := r.veil.Names(address)
	for i := range keys {
		keys[i] = database.Text(mime.AddressKey(keys[i]))
	}
	return r.rows(ctx, db, findQuery, keys, database.Text(strings.ToLower(domain)))
}

func (r *Register) rows(ctx context.Context, db queries, query string, args ...any) ([]queue.Suppression, error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(c pgx.CollectableRow) (queue.Suppression, error) {
		var stored row.Suppression
		if err := c.Scan(&stored.Address, &stored.Domain, &stored.Reason, &stored.At, &stored.Until, &stored.Info); err != nil {
			return queue.Suppression{}, err
		}
		return stored.Decode()
	})
}

// key is the text of an address in its row.
func key(s *queue.Suppression) string { return database.Text(s.AddressKey()) }

// Package suppress has the table of the addresses that mail is not offered to.
package suppress

import (
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/mime"
)

// Values stand in expressions where they are compared for equality; see lease.go.
const (
	columns     = "address, domain, reason, at, until, info"
	findQuery   = "SELECT " + columns + " FROM suppressions WHERE address = ?||'' AND domain IN ('', ?||'')"
	everyQuery  = "SELECT " + columns + " FROM suppressions WHERE address = ?||''"
	newestQuery = "SELECT " + columns + " FROM suppressions ORDER BY at DESC, address DESC, domain DESC"
	olderQuery  = "SELECT " + columns + " FROM suppressions WHERE (at, address, domain) < (?, ?, ?) ORDER BY at DESC, address DESC, domain DESC"
	putQuery    = "INSERT OR REPLACE INTO suppressions (" + columns + ") VALUES (?, ?, ?, ?, ?, ?)"
	liftQuery   = "DELETE FROM suppressions WHERE address = ?||'' AND domain = ?||''"
	pruneQuery  = `DELETE FROM suppressions WHERE (address, domain) IN
		(SELECT address, domain FROM suppressions INDEXED BY suppressions_until WHERE until > 0 AND until <= ? LIMIT ?)`
)

// Put writes an entry, unless one is there that does not give way to it. It runs in the writer, for a change that is part
// of a larger one too. What the history does not keep, the list does not either.
func (r *Register) Put(conn *sqlite.Conn, s queue.Suppression) (added bool, err error) {
	if err := s.Check(); err != nil {
		return false, err
	}
	s.Domain = strings.ToLower(s.Domain)
	s.At = s.At.Truncate(time.Millisecond)
	found, err := r.find(conn, s.Domain, s.Address)
	if err != nil || !s.MayReplace(found, r.now()) {
		return false, err
	}
	for i := range found {
		if found[i].Domain != s.Domain {
			continue
		}
		if err := lift(conn, &found[i]); err != nil {
			return false, err
		}
	}
	r.some.Store(true)
	r.veil.Suppression(&s)
	stored, err := row.NewSuppression(&s)
	if err != nil {
		return false, err
	}
	return true, database.Exec(conn, putQuery, database.Args{stored.Address, stored.Domain, stored.Reason, stored.At, stored.Until, stored.Info})
}

// Delivered takes an address off the list that a delivery shows to be fine again, to it from senders of a domain. It runs
// in the writer, as Put does.
func (r *Register) Delivered(conn *sqlite.Conn, domain, address string, at time.Time) (lifted []queue.Suppression, err error) {
	if !r.some.Load() {
		return nil, nil
	}
	found, err := r.find(conn, domain, address)
	for i := range found {
		if s := &found[i]; err == nil && s.EndedBy(at) {
			if err = lift(conn, s); err == nil {
				lifted = append(lifted, *s)
			}
		}
	}
	return lifted, err
}

// lift removes an entry as it was read.
func lift(conn *sqlite.Conn, s *queue.Suppression) error {
	return database.Exec(conn, liftQuery, database.Args{s.AddressKey(), s.Domain})
}

// find returns the entries for an address in mail from senders of a domain.
func (r *Register) find(conn *sqlite.Conn, domain, address string) (found []queue.Suppression, err error) {
	query, domain := findQuery, strings.ToLower(domain)
	if domain == queue.AnyDomain {
		query = everyQuery
	}
	for _, name := range r.veil.Names(address) {
		args := database.Args{mime.AddressKey(name), domain}
		if domain == queue.AnyDomain {
			args = args[:1]
		}
		err = rows(conn, query, args, func(s queue.Suppression) (bool, error) {
			found = append(found, s)
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// rows reads entries until each returns false.
func rows(conn *sqlite.Conn, query string, args database.Args, each func(queue.Suppression) (bool, error)) error {
	return database.Rows(conn, query, args, func(st *sqlite.Stmt) (bool, error) {
		stored := row.Suppression{Address: st.ColumnText(0), Domain: st.ColumnText(1), Reason: st.ColumnText(2), At: st.ColumnInt64(3),
			Until: st.ColumnInt64(4), Info: st.ColumnText(5)}
		s, err := stored.Decode()
		if err != nil {
			return false, err
		}
		return each(s)
	})
}

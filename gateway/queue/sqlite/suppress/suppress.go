// Package suppress has the table of the addresses that mail is not offered to.
package suppress

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/veil"
	"mailhatch/mime"
)

// Values stand in expressions where they are compared for equality; see lease.go.
const (
	columns     = "address, domain, reason, at, until, info"
	findQuery   = "SELECT " + columns + " FROM suppressions WHERE address = ?||'' AND domain IN ('', ?||'')"
	addedQuery  = "SELECT " + columns + " FROM suppressions WHERE address = ?||'' AND domain = ?||''"
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
	for _, key := range r.keys(s.Address) {
		yields := true
		err := rows(conn, addedQuery, database.Args{key, s.Domain}, func(old queue.Suppression) (bool, error) {
			yields = !old.InForce(r.now()) || old.Yields(&s)
			return false, nil
		})
		if err != nil || !yields {
			return false, err
		}
		if err := database.Exec(conn, liftQuery, database.Args{key, s.Domain}); err != nil {
			return false, err
		}
	}
	r.some.Store(true)
	hide(r.veil, &s)
	info, err := json.Marshal(s)
	if err != nil {
		return false, err
	}
	until := int64(0)
	if !s.Until.IsZero() {
		until = s.Until.UnixMilli()
	}
	return true, database.Exec(conn, putQuery, database.Args{s.AddressKey(), s.Domain, string(s.Reason), s.At.UnixMilli(), until, string(info)})
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
	for _, key := range r.keys(address) {
		args := database.Args{key, domain}
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

// keys are the texts by which an address may stand in the table: its own and that of its digest.
func (r *Register) keys(address string) []string {
	if hidden := r.veil.Address(address); hidden != "" && !strings.HasPrefix(address, "~") {
		return []string{mime.AddressKey(address), hidden}
	}
	return []string{mime.AddressKey(address)}
}

// hide replaces addresses by digests where the history does not keep them.
func hide(v *veil.Veil, s *queue.Suppression) {
	e := queue.Event{To: []string{s.Address}, Words: s.Words}
	if !strings.HasPrefix(s.Address, "~") { // it is a digest already, out of the history
		v.Event(&e)
	}
	s.Address, s.Words = e.To[0], e.Words
}

// rows reads entries until each returns false.
func rows(conn *sqlite.Conn, query string, args database.Args, each func(queue.Suppression) (bool, error)) error {
	return database.Rows(conn, query, args, func(st *sqlite.Stmt) (bool, error) {
		s := queue.Suppression{Domain: st.ColumnText(1), Reason: queue.SuppressionReason(st.ColumnText(2)), At: time.UnixMilli(st.ColumnInt64(3))}
		if until := st.ColumnInt64(4); until != 0 {
			s.Until = time.UnixMilli(until)
		}
		if err := json.Unmarshal([]byte(st.ColumnText(5)), &s); err != nil {
			return false, fmt.Errorf("the suppression of %s: %w", st.ColumnText(0), err)
		}
		return each(s)
	})
}

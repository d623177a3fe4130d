package history

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
)

// ByProvider finds the records of mail by its providers' ids, as queue.PlainID has them, among those whose number is
// greater than after. Beyond upTo it has not looked.
func (k *Keeper) ByProvider(ctx context.Context, ids map[string]bool, after int64) (found map[string][]int64, upTo int64, err error) {
	l := lookup{ids: ids, after: after, hashes: map[uint32]bool{}, found: map[string][]int64{}}
	for id := range ids {
		l.hashes[hashID(id)] = true
	}
	upTo = k.Last()
	l.before = upTo + 1
	for _, step := range []func(*sqlite.Conn) (bool, error){l.tail, l.sheets} {
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				return nil, 0, err
			}
			err := k.Read(ctx, func(conn *sqlite.Conn) (err error) {
				more, err = step(conn)
				return err
			})
			if err != nil {
				return nil, 0, err
			}
		}
	}
	return l.found, upTo, nil
}

// lookup goes through the history from the latest record on.
type lookup struct {
	ids    map[string]bool
	hashes map[uint32]bool
	after  int64
	before int64 // number of the last record seen
	found  map[string][]int64
}

// consider notes a record if it is looked for.
func (l *lookup) consider(s *sqlite.Stmt) (bool, error) {
	r := scanRecord(s)
	id, err := r.ProviderID()
	if id = queue.PlainID(id); err == nil && id != "" && l.ids[id] {
		l.found[id] = append(l.found[id], s.ColumnInt64(0))
	}
	return true, err
}

// tail looks at the next records that are in no sheet.
func (l *lookup) tail(conn *sqlite.Conn) (more bool, err error) {
	mark, err := markOf(conn, indexMark)
	if err != nil {
		return false, err
	}
	seen := 0
	err = database.Rows(conn, recordColumns+"WHERE seq < ?1 AND seq > ?3 ORDER BY seq DESC LIMIT ?2", database.Args{l.before, step, max(mark, l.after)}, func(s *sqlite.Stmt) (bool, error) {
		seen++
		l.before = s.ColumnInt64(0)
		return l.consider(s)
	})
	return seen == step, err
}

// sheets looks at the next sheets, until there is one that adds nothing to what was found of all ids.
func (l *lookup) sheets(conn *sqlite.Conn) (more bool, err error) {
	sh := sheet{conn: conn}
	for range sheetsStep {
		before, last := int64(math.MaxInt64), int64(0)
		if l.before < math.MaxInt64>>keyShift {
			before = l.before << keyShift
		}
		sh.key, sh.loaded = -1, [columns]bool{}
		err = database.Rows(conn, "SELECT key, last FROM sheets WHERE key < ? ORDER BY key DESC LIMIT 1", database.Args{before}, func(s *sqlite.Stmt) (bool, error) {
			sh.key, last = s.ColumnInt64(0)>>keyShift<<keyShift, s.ColumnInt64(1)
			return false, nil
		})
		if err != nil || sh.key < 0 || last <= l.after {
			return false, err
		}
		seqs, err := l.named(&sh)
		for _, seq := range seqs {
			if err == nil && seq > l.after {
				err = database.Rows(conn, recordOf, database.Args{seq}, l.consider)
			}
		}
		if err != nil || len(seqs) == 0 && len(l.found) == len(l.ids) {
			return false, err
		}
		l.before = sh.key >> keyShift
	}
	return true, nil
}

// named returns the records of a sheet whose ids may be looked for.
func (l *lookup) named(s *sheet) (seqs []int64, err error) {
	ids, err := s.column(idsColumn)
	if err != nil {
		return nil, err
	}
	var hits []int
	for i := range sheetRecords {
		if l.hashes[binary.LittleEndian.Uint32(ids[i*idBytes+4:])] {
			hits = append(hits, i)
		}
	}
	if hits == nil {
		return nil, nil
	}
	data, err := s.column(factsColumn)
	f := facts{first: s.key >> keyShift, data: data}
	for _, i := range slices.Backward(hits) {
		if err == nil {
			seqs = append(seqs, f.seq(i))
		}
	}
	return seqs, err
}

// OldestSent returns when the oldest record came about, since a time, of what an upstream took and has told nothing final
// of; zero: there is none.
func (k *Keeper) OldestSent(ctx context.Context, upstream string, since time.Time) (at time.Time, err error) {
	name, from, after := plain(upstream), since.UnixMilli(), int64(math.MinInt64)
	for more := true; more && at.IsZero(); {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		err := k.Read(ctx, func(conn *sqlite.Conn) (err error) {
			for range sheetsStep {
				if more, err = nextSheet(conn, &after, from, func(f *facts, i int) bool {
					if f.state(i) == row.Sent && f.at(i) >= from && f.isOf(i, name) {
						at = time.UnixMilli(f.at(i))
					}
					return at.IsZero()
				}); err != nil || !more || !at.IsZero() {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return at, err
		}
	}
	if !at.IsZero() {
		return at, nil
	}
	return k.oldestInTail(ctx, upstream, from)
}

const laterSheet = "SELECT key, newest FROM sheets WHERE key > ? ORDER BY key LIMIT 1"

// nextSheet calls each for the records of the next sheet behind one, until it returns false, if the sheet has any since a
// time. more is false when there is no further sheet.
func nextSheet(conn *sqlite.Conn, after *int64, since int64, each func(f *facts, i int) bool) (more bool, err error) {
	newest := int64(0)
	err = database.Rows(conn, laterSheet, database.Args{*after}, func(s *sqlite.Stmt) (bool, error) {
		*after, newest = s.ColumnInt64(0)|(1<<keyShift-1), s.ColumnInt64(1)
		more = true
		return false, nil
	})
	if err != nil || !more || newest < since {
		return more, err
	}
	sh := sheet{conn: conn, key: *after >> keyShift << keyShift}
	data, err := sh.column(factsColumn)
	if err != nil {
		return more, err
	}
	f := facts{first: sh.key >> keyShift, data: data}
	for i := range sheetRecords {
		if !each(&f, i) {
			break
		}
	}
	return more, nil
}

// oldestInTail is OldestSent of what is in no sheet.
func (k *Keeper) oldestInTail(ctx context.Context, upstream string, from int64) (at time.Time, err error) {
	err = k.Read(ctx, func(conn *sqlite.Conn) error {
		mark, err := markOf(conn, indexMark)
		if err != nil {
			return err
		}
		return database.Rows(conn, recordColumns+"WHERE seq > ? AND at >= ? AND state = ? ORDER BY seq", database.Args{mark, from, row.Sent}, func(s *sqlite.Stmt) (bool, error) {
			r := Scan(s)
			t, err := r.Texts()
			if err == nil && t.Upstream == upstream {
				at = time.UnixMilli(r.At)
			}
			return at.IsZero(), err
		})
	})
	return at, err
}

// isOf reports whether a record is that of an upstream.
func (f *facts) isOf(i int, upstream string) bool {
	codes := named(f.upstreams(), upstream, func(text string) bool { return text == upstream })
	return codes != nil && codes[f.upstream(i)]
}

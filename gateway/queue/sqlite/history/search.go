package history

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
)

const (
	step       = 1000 // records that are looked at at once
	sheetsStep = 16   // sheets
)

// Search returns what became of recipients, the latest recorded first. It reads in steps: the records that are in no sheet
// yet, then those that the sheets name.
func (k *Keeper) Search(ctx context.Context, f queue.HistoryFilter) (out []queue.Record, err error) {
	scan := scan{filter: &f, hidden: k.Veil.Filter(&f), before: math.MaxInt64, since: math.MinInt64}
	if f.ID != "" {
		var ok bool
		if scan.message, ok = queue.ParseID(f.ID); !ok {
			return nil, fmt.Errorf("queue: %q is not a queue id", f.ID)
		}
	}
	if f.After != "" {
		if scan.before, err = strconv.ParseInt(f.After, 36, 64); err != nil {
			return nil, fmt.Errorf("%w: %q", queue.ErrPlace, f.After)
		}
	}
	if !f.Since.IsZero() {
		scan.since = f.Since.UnixMilli()
	}
	var possible bool
	if scan.sheets, possible = newSheetSearch(&f, scan.hidden); !possible {
		return nil, nil
	}
	for _, step := range scan.steps() {
		for more := true; more && !scan.full(); {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			err := k.Read(ctx, func(conn *sqlite.Conn) (err error) {
				more, err = step(conn)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return scan.found, nil
}

// scan goes through the history from the latest record on.
type scan struct {
	filter  *queue.HistoryFilter
	hidden  *queue.HistoryFilter // the same for what is hidden; nil: none of that is meant
	before  int64                // number of the last record seen
	message int64                // 0: all
	since   int64                // milliseconds
	sheets  sheetSearch
	sheet   sheet
	found   []queue.Record
}

func (h *scan) full() bool { return h.filter.Limit > 0 && len(h.found) >= h.filter.Limit }

// steps returns what is to be done, one after the other, each until there is no more.
func (h *scan) steps() []func(*sqlite.Conn) (more bool, err error) {
	f := *h.filter
	f.Since, f.After, f.Limit = queue.HistoryFilter{}.Since, "", 0
	if h.message != 0 || f == (queue.HistoryFilter{}) {
		return []func(*sqlite.Conn) (bool, error){func(conn *sqlite.Conn) (bool, error) { return h.records(conn, math.MinInt64) }}
	}
	return []func(*sqlite.Conn) (bool, error){h.tail, h.someSheets}
}

// tail looks at the next records that are in no sheet.
func (h *scan) tail(conn *sqlite.Conn) (more bool, err error) {
	mark, err := markOf(conn, indexMark)
	if err != nil {
		return false, err
	}
	return h.records(conn, mark)
}

const recordColumns = "SELECT seq, at, message, state, sender, recipient, info FROM history "

// records looks at the next records behind a mark. more is false when the rest cannot match.
func (h *scan) records(conn *sqlite.Conn, mark int64) (more bool, err error) {
	which := "WHERE seq < ?1 AND seq > ?4 AND ?3 = ?3"
	if h.message != 0 {
		which = "INDEXED BY history_message WHERE seq < ?1 AND seq > ?4 AND message = ?3"
	}
	seen, recent := 0, 0
	err = database.Rows(conn, recordColumns+which+" ORDER BY seq DESC LIMIT ?2", database.Args{h.before, step, h.message, mark}, func(s *sqlite.Stmt) (bool, error) {
		seen++
		h.before = s.ColumnInt64(0)
		if s.ColumnInt64(1) < h.since {
			return true, nil
		}
		recent++
		return true, h.consider(s)
	})
	// Records stand in the order of their writing, which is that of their times but for clocks that
	// were set; a whole step of older ones is the end.
	return seen == step && recent > 0, err
}

// consider adds a record if it is one of those that are looked for.
func (h *scan) consider(s *sqlite.Stmt) error {
	if h.full() {
		return nil
	}
	found := scanRecord(s)
	rec, err := found.Decode()
	if err == nil && (h.filter.Matches(&rec) || h.hidden != nil && h.hidden.Matches(&rec)) {
		rec.Key = strconv.FormatInt(s.ColumnInt64(0), 36)
		h.found = append(h.found, rec)
	}
	return err
}

// someSheets looks at the next sheets.
func (h *scan) someSheets(conn *sqlite.Conn) (more bool, err error) {
	h.sheet.conn = conn
	for range sheetsStep {
		more, err = h.oneSheet(conn)
		if err != nil || !more || h.full() {
			return more, err
		}
	}
	return more, nil
}

const (
	lastSheet  = "SELECT key FROM sheets WHERE key < ? ORDER BY key DESC LIMIT 1"
	sheetTimes = "SELECT oldest, newest FROM sheets WHERE key = ?+0"
	recordOf   = recordColumns + "WHERE seq = ?+0"
)

func (h *scan) oneSheet(conn *sqlite.Conn) (more bool, err error) {
	sh := &h.sheet
	sh.key, sh.loaded = -1, [columns]bool{}
	before := int64(math.MaxInt64)
	if h.before < math.MaxInt64>>keyShift {
		before = h.before << keyShift
	}
	err = database.Rows(conn, lastSheet, database.Args{before}, func(s *sqlite.Stmt) (bool, error) {
		sh.key = s.ColumnInt64(0) >> keyShift << keyShift
		return false, nil
	})
	if err != nil || sh.key < 0 {
		return false, err
	}
	inTime := false
	err = database.Rows(conn, sheetTimes, database.Args{sh.key}, func(s *sqlite.Stmt) (bool, error) {
		inTime = s.ColumnInt64(0) < h.sheets.until && s.ColumnInt64(1) >= h.sheets.since
		return false, nil
	})
	if err == nil && inTime {
		err = h.lookUp(conn)
	}
	h.before = sh.key >> keyShift
	return true, err
}

// lookUp considers the records that a sheet names.
func (h *scan) lookUp(conn *sqlite.Conn) error {
	seqs, err := h.sheets.find(&h.sheet)
	for _, seq := range seqs {
		if err != nil || h.full() {
			break
		}
		if seq < h.before {
			err = database.Rows(conn, recordOf, database.Args{seq}, func(s *sqlite.Stmt) (bool, error) { return false, h.consider(s) })
		}
	}
	return err
}

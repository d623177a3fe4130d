package history

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/glob"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
)

// term is true of records of which one of its texts is true.
type term []textTerm

// textTerm is about the text of a column: it holds the needle, and more is to be said of it.
type textTerm struct {
	column int
	needle string
	is     func(text string) bool
}

// terms returns what the texts of records have to be. Those that are true of fewer records, most likely, come first.
func terms(f, hidden *queue.HistoryFilter) (all []term) {
	if hidden != nil {
		defer func() {
			both := terms(hidden, nil)
			for i := range all {
				all[i] = append(all[i], both[slices.IndexFunc(both, func(t term) bool { return t[0].column == all[i][0].column && len(t) == len(all[i]) })]...)
			}
		}()
	}
	if f.Subject != "" {
		words := strings.Fields(plain(strings.ToLower(f.Subject)))
		is := func(text string) bool {
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
		}
		all = append(all, term{{subjectColumn, longest(words), is}})
	}
	if f.To != "" {
		all = append(all, term{patternTerm(recipientColumn, f.To)})
	}
	if f.From != "" {
		all = append(all, term{patternTerm(senderColumn, f.From)})
	}
	if f.Word != "" {
		word := plain(queue.AddressText(f.Word))
		is := func(string) bool { return true }
		all = append(all, term{{recipientColumn, word, is}, {senderColumn, word, is}})
	}
	slices.SortStableFunc(all, func(a, b term) int { return len(b[0].needle) - len(a[0].needle) })
	return all
}

func patternTerm(column int, pattern string) textTerm {
	pattern = plain(queue.AddressText(pattern))
	needle := longest(strings.FieldsFunc(pattern, func(r rune) bool { return r == '*' || r == '?' }))
	return textTerm{column, needle, func(text string) bool {
		address, given, _ := strings.Cut(text, givenMark)
		return glob.Match(pattern, address) || given != "" && glob.Match(pattern, given)
	}}
}

func longest(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return slices.MaxFunc(texts, func(a, b string) int { return len(a) - len(b) })
}

// sheetSearch looks through sheets.
type sheetSearch struct {
	filter       *queue.HistoryFilter
	terms        []term
	state        int64
	since, until int64 // milliseconds, until not included
}

func newSheetSearch(f, hidden *queue.HistoryFilter) (s sheetSearch, possible bool) {
	s = sheetSearch{filter: f, terms: terms(f, hidden), state: -1, since: math.MinInt64, until: math.MaxInt64}
	if f.State != "" {
		code, ok := row.Code(f.State)
		if !ok {
			return s, false
		}
		s.state = code
	}
	if !f.Since.IsZero() {
		s.since = f.Since.UnixMilli()
	}
	if !f.Until.IsZero() {
		s.until = f.Until.UnixMilli() + 1 // it may be part of a millisecond
	}
	return s, true
}

// sheet is one that is looked through.
type sheet struct {
	conn   *sqlite.Conn
	key    int64
	loaded [columns]bool
	data   [columns][]byte // of an earlier sheet, where it is not loaded
}

// column reads a column, once.
func (s *sheet) column(column int) (data []byte, err error) {
	if s.loaded[column] {
		return s.data[column], nil
	}
	err = database.Rows(s.conn, "SELECT data FROM sheets WHERE key = ?+0", database.Args{s.key | int64(column)}, func(st *sqlite.Stmt) (bool, error) {
		n := st.ColumnLen(0)
		s.data[column] = slices.Grow(s.data[column][:0], n)[:n]
		st.ColumnBytes(0, s.data[column])
		s.loaded[column] = true
		return false, nil
	})
	if err == nil && (!s.loaded[column] || len(s.data[column]) < sheetRecords*codeBytes) {
		err = fmt.Errorf("a sheet of the history has no column %d", column)
	}
	return s.data[column], err
}

// find returns the numbers of records that may be meant, the latest first. Each column is read only if those before leave any.
func (q *sheetSearch) find(s *sheet) (seqs []int64, err error) {
	left := make([]bool, sheetRecords)
	for i := range left {
		left[i] = true
	}
	order := []func(*sheet, []bool) (bool, error){q.byIDs, q.byTexts, q.byFacts}
	if q.state >= 0 || q.filter.Upstream != "" { // facts are read sooner than texts
		order = []func(*sheet, []bool) (bool, error){q.byIDs, q.byFacts, q.byTexts}
	}
	for _, narrow := range order {
		if any, err := narrow(s, left); err != nil || !any {
			return nil, err
		}
	}
	data, err := s.column(factsColumn)
	f := facts{first: s.key >> keyShift, data: data}
	for i := sheetRecords - 1; i >= 0 && err == nil; i-- {
		if left[i] {
			seqs = append(seqs, f.seq(i))
		}
	}
	return seqs, err
}

func (q *sheetSearch) byIDs(s *sheet, left []bool) (any bool, err error) {
	if q.filter.MessageID == "" && q.filter.ProviderID == "" {
		return true, nil
	}
	data, err := s.column(idsColumn)
	if err != nil {
		return false, err
	}
	message, provider := hashID(q.filter.MessageID), hashID(q.filter.ProviderID)
	for i := range left {
		m, p := binary.LittleEndian.Uint32(data[i*idBytes:]), binary.LittleEndian.Uint32(data[i*idBytes+4:])
		left[i] = (q.filter.MessageID == "" || m == message) && (q.filter.ProviderID == "" || p == provider)
		any = any || left[i]
	}
	return any, err
}

func (q *sheetSearch) byTexts(s *sheet, left []bool) (any bool, err error) {
	any = true
	for _, t := range q.terms {
		hits := make([]bool, len(left))
		for _, text := range t {
			data, err := s.column(text.column)
			if err != nil {
				return false, err
			}
			codes := named(data[sheetRecords*codeBytes:], text.needle, text.is)
			for i := range hits {
				hits[i] = hits[i] || codes != nil && codes[binary.LittleEndian.Uint16(data[i*codeBytes:])]
			}
		}
		any = false
		for i := range left {
			left[i] = left[i] && hits[i]
			any = any || left[i]
		}
		if !any {
			return false, nil
		}
	}
	return any, nil
}

func (q *sheetSearch) byFacts(s *sheet, left []bool) (any bool, err error) {
	data, err := s.column(factsColumn)
	if err != nil {
		return false, err
	}
	f := facts{first: s.key >> keyShift, data: data}
	var upstreams []bool
	if up := plain(q.filter.Upstream); up != "" {
		if upstreams = named(f.upstreams(), up, func(text string) bool { return text == up }); upstreams == nil {
			return false, nil
		}
	}
	for i := range left {
		if !left[i] {
			continue
		}
		at := f.at(i)
		left[i] = at >= q.since && at < q.until && (q.state < 0 || f.state(i) == q.state) && (upstreams == nil || upstreams[f.upstream(i)])
		any = any || left[i]
	}
	return any, nil
}

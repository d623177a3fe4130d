package suppressed

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/queue"
)

// columns of a table of entries, in the order in which they are written.
var columns = [...]string{"address", "domain", "reason", "at", "until", "by", "id", "upstream", "event", "words"}

// Table writes entries as CSV (RFC 4180) with a line of names. Make one with NewTable.
type Table struct{ w *csv.Writer }

// NewTable begins a table.
func NewTable(w io.Writer) (*Table, error) {
	t := &Table{csv.NewWriter(w)}
	return t, t.w.Write(columns[:])
}

// Write adds entries.
func (t *Table) Write(entries []Suppression) error {
	for i := range entries {
		e := &entries[i]
		err := t.w.Write([]string{e.Address, e.Domain, string(e.Reason), when(e.At), when(e.Until), e.By, e.ID, e.Upstream, e.Event, e.Words})
		if err != nil {
			return err
		}
	}
	t.w.Flush()
	return t.w.Error()
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Read reads entries and hands them over in portions of at most MaxPage: a table as Write makes it, whose first line names
// its columns, address among them; or one address a line. Lines that are empty or begin with # are passed over. What
// is missing in a table is taken from defaults. Errors name the line.
func Read(r io.Reader, defaults Suppression, each func([]Suppression) error) error {
	in := csv.NewReader(skipMark(&lines{r: r}))
	in.Comment, in.FieldsPerRecord, in.TrimLeadingSpace, in.LazyQuotes = '#', -1, true, true
	p := portion{each: each}
	var names []string
	for {
		fields, err := in.Read()
		if err == io.EOF {
			return p.flush()
		}
		if err != nil {
			return err
		}
		line, _ := in.FieldPos(0)
		if names == nil {
			if header := lower(fields); slices.Contains(header, "address") || slices.Contains(header, "email") {
				names = header
				continue
			}
			names = []string{"address"}
		}
		e, err := readEntry(names, fields, defaults)
		if err == nil {
			err = p.add(e)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// portion gathers entries.
type portion struct {
	each func([]Suppression) error
	list []Suppression
}

func (p *portion) add(e Suppression) error {
	if p.list = append(p.list, e); len(p.list) < MaxPage {
		return nil
	}
	return p.flush()
}

func (p *portion) flush() error {
	if len(p.list) == 0 {
		return nil
	}
	err := p.each(p.list)
	p.list = nil
	return err
}

// maxLine is far beyond any line of a table, in bytes.
const maxLine = 1 << 20

// lines reads lines and refuses what has none, such as a device that never ends.
type lines struct {
	r       io.Reader
	n, line int // bytes of the line so far, and lines before it
}

// Read passes on what r has.
func (l *lines) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for rest := p[:n]; ; l.line++ {
		at := bytes.IndexByte(rest, '\n')
		if at < 0 {
			l.n += len(rest)
			break
		}
		l.n, rest = 0, rest[at+1:]
	}
	if l.n > maxLine {
		return 0, fmt.Errorf("line %d: longer than %d bytes: this is not a list of addresses", l.line+1, maxLine)
	}
	return n, err
}

// skipMark passes over the byte order mark that spreadsheets write.
func skipMark(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = b.Discard(3)
	}
	return b
}

func lower(fields []string) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = strings.ToLower(strings.TrimSpace(f))
	}
	return out
}

// readEntry reads one line. Columns that have another name are passed over: providers' tables have many.
func readEntry(names, fields []string, e Suppression) (Suppression, error) {
	for i, value := range fields {
		if value = strings.TrimSpace(value); value == "" || i >= len(names) {
			continue
		}
		var err error
		switch names[i] {
		case "address", "email":
			e.Address, err = address(value)
		case "domain":
			e.Domain = value
		case "reason":
			e.Reason = queue.SuppressionReason(strings.ToLower(value))
		case "at":
			e.At, err = moment(value)
		case "until":
			e.Until, err = moment(value)
		case "by":
			e.By = value
		case "id":
			e.ID = value
		case "upstream":
			e.Upstream = value
		case "event":
			e.Event = value
		case "words":
			e.Words = value
		}
		if err != nil {
			return e, err
		}
	}
	if e.Address == "" {
		return e, errors.New("there is no address")
	}
	return e, nil
}

func moment(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 2026-11-30T11:00:00Z", text)
}

package terminal

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Table is rows of text in aligned columns. A note goes below its row, indented.
type Table struct {
	Head  []string // of the columns; may be empty
	Least []int    // width of each column, at least; Write leaves here what they got, for a table that goes on
	rows  [][]string
	notes map[int][]string // by the index of the row
}

// Row adds a row.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Note adds a line below the last row; empty ones are left out.
func (t *Table) Note(s string) {
	if s == "" {
		return
	}
	if t.notes == nil {
		t.notes = map[int][]string{}
	}
	n := len(t.rows) - 1
	t.notes[n] = append(t.notes[n], s)
}

// Write prints the table.
func (t *Table) Write(w io.Writer) error {
	widths := map[int]int{}
	for i, n := range t.Least {
		widths[i] = n
	}
	for _, row := range append([][]string{t.Head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(Plain(cell)))
		}
	}
	var out strings.Builder
	line := func(row []string) {
		var b strings.Builder
		for i, cell := range row {
			cell = Plain(cell)
			b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
	if len(t.Head) > 0 {
		line(t.Head)
	}
	for i, row := range t.rows {
		line(row)
		for _, note := range t.notes[i] {
			out.WriteString("    " + Plain(note) + "\n")
		}
	}
	t.Least = make([]int, len(widths))
	for i, n := range widths {
		t.Least[i] = n
	}
	_, err := io.WriteString(w, out.String())
	return err
}

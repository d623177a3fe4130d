package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// table is rows of text in aligned columns. A note goes below its row, indented.
type table struct {
	head  []string
	rows  [][]string
	notes map[int][]string // by the index of the row
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// note adds a line below the last row; empty ones are left out.
func (t *table) note(s string) {
	if s == "" {
		return
	}
	if t.notes == nil {
		t.notes = map[int][]string{}
	}
	n := len(t.rows) - 1
	t.notes[n] = append(t.notes[n], s)
}

// write prints the table; head is left out when it is empty.
func (t *table) write(w io.Writer) error {
	widths := map[int]int{}
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(plain(cell)))
		}
	}
	var out strings.Builder
	line := func(row []string) {
		var b strings.Builder
		for i, cell := range row {
			cell = plain(cell)
			b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
	if len(t.head) > 0 {
		line(t.head)
	}
	for i, row := range t.rows {
		line(row)
		for _, note := range t.notes[i] {
			out.WriteString("    " + plain(note) + "\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// plain keeps texts that others wrote from steering the terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// clip shortens s to max characters.
func clip(s string, max int) string {
	if utf8.RuneCountInString(s) <= max {
		return s
	}
	return string([]rune(s)[:max-1]) + "…"
}

// size writes bytes as people read them.
func size(n int64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1000, 0
	for f >= 999.5 && unit < len(units)-1 {
		f /= 1000
		unit++
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f %s", f, units[unit])
	}
	return fmt.Sprintf("%.0f %s", f, units[unit])
}

// span writes a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// ago and until say where a time is, seen from now; a dash stands for none.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(max(0, time.Since(t)))
}

func until(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if d := time.Until(t); d >= time.Second {
		return "in " + span(d)
	}
	return "now"
}

// moment writes a time as the people of this machine read it.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// clock writes a time that is near without its date.
func clock(t time.Time) string {
	if time.Until(t) < 12*time.Hour {
		return t.Local().Format("15:04:05")
	}
	return moment(t)
}

// orDash fills an empty cell.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// sender writes a reverse-path as SMTP does.
func sender(s string) string {
	if s == "" {
		return "<>"
	}
	return s
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// Report is the whole outcome of `mailbench run`, as --json writes it.
type Report struct {
	Machine Machine `json:"machine"`
	Rows    []Row   `json:"rows"`
}

// write prints Markdown for people.
func (r *Report) write(w io.Writer) error {
	var b strings.Builder
	r.Machine.write(&b)
	if len(r.Rows) > 0 {
		b.WriteString(r.Rows[0].conditions())
	}
	b.WriteString("| upstream | size | sessions | accept/s | of ceiling | delivered/s | p50 ms | p99 ms | CPU µs/msg | peak PSS MiB | VmHWM MiB | start ms |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range r.Rows {
		row.write(&b)
	}
	b.WriteString("\nOf ceiling: accept/s beside the same load straight to the sink. Latency: MAIL to 250. ")
	b.WriteString("CPU: the server's, user and system, from MAIL to delivery.\n")
	writeNotes(&b, r.Rows)
	_, err := io.WriteString(w, b.String())
	return err
}

func (m Machine) write(b *strings.Builder) {
	fmt.Fprintf(b, "%s, %d cores, %s, %s, queue on %s, %.0f fsyncs/s (4 KiB appends, one after the other: p50 %.2f ms, p99 %.2f ms), load average %.1f, %s\n\n",
		m.CPU, m.Cores, m.System, m.Go, m.Filesystem, m.FsyncsPerS, m.Fsync.P50, m.Fsync.P99, m.Busy, m.Time.Format("2006-01-02 15:04 MST"))
	if m.Busy > float64(m.Cores)/2 {
		fmt.Fprintf(b, "**The machine was busy with other work before the run (load average %.1f): compare ratios, not figures.**\n\n", m.Busy)
	}
	if m.Filesystem == "tmpfs" {
		b.WriteString("**The queue is on a tmpfs, where fsync does nothing: these are not figures of durable mail.** Use -dir.\n\n")
	}
}

// conditions says what all cases of a run have in common beyond the table; "" when nothing is special.
func (c Case) conditions() string {
	var s string
	if c.PerConnection > 0 {
		s = fmt.Sprintf("%d message(s) a connection. ", c.PerConnection)
	}
	if c.SinkDelay > 0 {
		s += fmt.Sprintf("The upstream takes %s for each message.", c.SinkDelay)
	}
	if s != "" {
		s = strings.TrimSpace(s) + "\n\n"
	}
	return s
}

func (row Row) write(b *strings.Builder) {
	fmt.Fprintf(b, "| %s | %s | %d |", row.Upstream, kibibytes(row.Size), row.Sessions)
	if row.Failed != "" {
		b.WriteString(" failed | | | | | | | | |\n")
		return
	}
	delivered := "-"
	if row.Upstream != "hold" {
		delivered = fmt.Sprintf("%.0f", row.Delivered)
	}
	fmt.Fprintf(b, " %.0f | %s | %s | %.2f | %.2f | %s | %s | %s | %.0f |\n",
		row.Accept, percent(row.Accept, row.Ceiling), delivered, row.Load.Latency.P50, row.Load.Latency.P99,
		figure(row.CPU, "%.0f"), mebibytes(row.PSS), mebibytes(row.HWM), row.Startup)
}

// writeNotes says all that the table cannot: failures, refusals, duplicates, mail not delivered in time.
func writeNotes(b *strings.Builder, rows []Row) {
	for _, row := range rows {
		for _, note := range row.notes() {
			fmt.Fprintf(b, "- %s, %s, %s, %d sessions: %s\n", row.Server, row.Upstream, kibibytes(row.Size), row.Sessions, note)
		}
	}
}

func (row Row) notes() []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if row.Failed != "" {
		add("failed: %s", row.Failed)
	}
	if row.Load != nil {
		if n := row.Load.lost(); n > 0 {
			add("%d messages not accepted: %v", n, row.Load.Problems)
		}
	}
	if row.Undrained > 0 {
		add("%d of %d accepted messages were not delivered when the drain time was over", row.Undrained, row.Load.Accepted)
	}
	if row.Sink.Duplicates > 0 {
		add("%d DUPLICATES", row.Sink.Duplicates)
	}
	if row.Sink.Unidentified > 0 {
		add("%d messages without %s reached the sink", row.Sink.Unidentified, idHeader)
	}
	if row.CPUIsTotal {
		add("CPU of its whole life, start and warm-up included; memory unknown on this system")
	}
	if row.Unclean != "" {
		add("%s", row.Unclean)
	}
	return notes
}

// failures counts rows without figures, with duplicates or with mail that came from nowhere.
func failures(rows []Row) (n int) {
	for _, row := range rows {
		if row.Failed != "" || row.Sink.Duplicates > 0 || row.Sink.Unidentified > 0 || row.Unclean != "" {
			n++
		}
	}
	return n
}

// writeJSON writes v to a file.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

func kibibytes(n int) string {
	if n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}

// mebibytes gives n/a for 0, which stands for unknown.
func mebibytes(n int64) string { return figure(float64(n)/(1<<20), "%.1f") }

func percent(part, whole float64) string {
	if whole == 0 {
		return "n/a"
	}
	return fmt.Sprintf("%.0f %%", 100*part/whole)
}

func figure(v float64, format string) string {
	if v == 0 {
		return "n/a"
	}
	return fmt.Sprintf(format, v)
}

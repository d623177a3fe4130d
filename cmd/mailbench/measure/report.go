package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/message"
)

// Report is the whole outcome of `mailbench run`, as --json writes it.
type Report struct {
	Machine host.Machine `json:"machine"`
	Rows    []Row        `json:"rows"`
}

// write prints Markdown for people.
func (r *Report) write(w io.Writer) error {
	var b strings.Builder
	r.Machine.Write(&b)
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
	WriteNotes(&b, r.Rows)
	_, err := io.WriteString(w, b.String())
	return err
}

// conditions lists what all cases of a run have in common beyond the table; "" when nothing is special.
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
	fmt.Fprintf(b, "| %s | %s | %d |", row.Upstream, KiB(row.Size), row.Sessions)
	if row.Failed != "" {
		b.WriteString(" failed | | | | | | | | |\n")
		return
	}
	delivered := "-"
	if row.Upstream != "hold" {
		delivered = fmt.Sprintf("%.0f", row.Delivered)
	}
	fmt.Fprintf(b, " %.0f | %s | %s | %.2f | %.2f | %s | %s | %s | %.0f |\n",
		row.Accept, Percent(row.Accept, row.Ceiling), delivered, row.Load.Latency.P50, row.Load.Latency.P99,
		Figure(row.CPU, "%.0f"), MiB(row.PSS), MiB(row.HWM), row.Startup)
}

// WriteNotes writes what the table does not show: failures, refusals, duplicates, mail not delivered in time.
func WriteNotes(b *strings.Builder, rows []Row) {
	for _, row := range rows {
		for _, note := range row.notes() {
			fmt.Fprintf(b, "- %s, %s, %s, %d sessions: %s\n", row.Server, row.Upstream, KiB(row.Size), row.Sessions, note)
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
		if n := row.Load.Lost(); n > 0 {
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
		add("%d messages without %s reached the sink", row.Sink.Unidentified, message.IDHeader)
	}
	if row.CPUIsTotal {
		add("CPU of its whole life, start and warm-up included; memory unknown on this system")
	}
	if row.Unclean != "" {
		add("%s", row.Unclean)
	}
	return notes
}

// Failures counts rows without figures, with duplicates or with mail that came from nowhere.
func Failures(rows []Row) (n int) {
	for _, row := range rows {
		if row.Failed != "" || row.Sink.Duplicates > 0 || row.Sink.Unidentified > 0 || row.Unclean != "" {
			n++
		}
	}
	return n
}

// WriteJSON writes v to a file.
func WriteJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

func KiB(n int) string {
	if n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}

// MiB returns n/a for 0, which stands for unknown.
func MiB(n int64) string { return Figure(float64(n)/(1<<20), "%.1f") }

func Percent(part, whole float64) string {
	if whole == 0 {
		return "n/a"
	}
	return fmt.Sprintf("%.0f %%", 100*part/whole)
}

func Figure(v float64, format string) string {
	if v == 0 {
		return "n/a"
	}
	return fmt.Sprintf(format, v)
}

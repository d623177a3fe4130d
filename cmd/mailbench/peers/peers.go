// Package peers measures mailhatch and other servers in turns, and compares them.
package peers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"mailhatch/cmd/mailbench/command"
	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/measure"
)

// Report is the whole outcome of `mailbench peers`.
type Report struct {
	Machine host.Machine `json:"machine"`
	Rounds  int          `json:"rounds"`
	Seconds float64      `json:"seconds"`
	Absent  []string     `json:"absent,omitempty"` // who is not compared with, and why
	Groups  []Outcome    `json:"groups"`
}

// Outcome is what one group of lines measured.
type Outcome struct {
	Group   string        `json:"group"`
	About   string        `json:"about"`
	Skipped string        `json:"skipped,omitempty"` // why nothing was measured
	Failed  string        `json:"failed,omitempty"`  // why it ended early
	Checks  []Check       `json:"checks,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
	Rows    []measure.Row `json:"rows,omitempty"` // of every round
	Seconds float64       `json:"seconds"`
}

// note adds a line below the table.
func (o *Outcome) note(format string, args ...any) {
	o.Notes = append(o.Notes, fmt.Sprintf(format, args...))
}

// Command is `mailbench peers`: mailhatch and others take turns, so that what else the machine does
// meanwhile hits all.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("mailbench peers", flag.ContinueOnError)
	fs.SetOutput(stderr)
	b := &rig{stderr: stderr}
	b.flags(fs)
	only := fs.String("only", "", "measure only the groups with these `lines` (see -list)")
	list := fs.Bool("list", false, "list the groups and their lines and do nothing")
	json := fs.String("json", "", "write all figures to this `file` too")
	markdown := fs.String("markdown", "", "write the table to this `file` too")
	if err := command.Parse(fs, args); err != nil {
		return err
	}
	if *list {
		return listGroups(stdout)
	}
	chosen, err := chooseGroups(*only)
	if err != nil {
		return fmt.Errorf("%w: %v", command.ErrUsage, err)
	}
	done, err := b.open()
	if err != nil {
		return err
	}
	defer done()
	report, err := b.report(ctx, chosen)
	if err != nil {
		return err
	}
	var table strings.Builder
	report.write(&table)
	_, err = io.WriteString(stdout, table.String())
	if *markdown != "" {
		err = errors.Join(err, os.WriteFile(*markdown, []byte(table.String()), 0o644))
	}
	if *json != "" {
		err = errors.Join(err, measure.WriteJSON(*json, report))
	}
	if n := report.failures(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d measurements failed, see the notes below the table", n))
	}
	return errors.Join(err, ctx.Err())
}

// report measures the groups one after the other, until ctx ends.
func (b *rig) report(ctx context.Context, chosen []group) (*Report, error) {
	began := time.Now()
	r := &Report{Rounds: b.rounds}
	var err error
	if r.Machine, err = host.Inspect(b.dir, b.timing.Probe); err != nil {
		return nil, err
	}
	for i, g := range chosen {
		fmt.Fprintf(b.stderr, "mailbench: %d/%d %s: %s\n", i+1, len(chosen), g.name, g.about)
		start := time.Now()
		o := Outcome{Group: g.name, About: g.about}
		switch err := g.run(ctx, b, &o); {
		case errors.Is(err, errors.ErrUnsupported):
			o.Skipped = err.Error()
		case err != nil:
			o.Failed = err.Error()
		}
		if ctx.Err() != nil { // what is complete is shown all the same
			break
		}
		o.Seconds = time.Since(start).Seconds()
		r.Groups = append(r.Groups, o)
	}
	r.Seconds, r.Absent = time.Since(began).Seconds(), b.absent
	return r, nil
}

// chooseGroups returns the groups that have one of the lines, all for "".
func chooseGroups(only string) ([]group, error) {
	all := groups()
	if only == "" {
		return all, nil
	}
	var chosen []group
	for _, line := range strings.Split(only, ",") {
		at := slices.IndexFunc(all, func(g group) bool { return g.name == line || slices.Contains(g.lines, line) })
		if at < 0 {
			return nil, fmt.Errorf("no line %q (see -list)", line)
		}
		if !slices.ContainsFunc(chosen, func(g group) bool { return g.name == all[at].name }) {
			chosen = append(chosen, all[at])
		}
	}
	return chosen, nil
}

func listGroups(w io.Writer) error {
	for _, g := range groups() {
		if _, err := fmt.Fprintf(w, "%-14s %s\n%14s lines: %s\n", g.name, g.about, "", strings.Join(g.lines, ", ")); err != nil {
			return err
		}
	}
	return nil
}

// write writes Markdown.
func (r *Report) write(b *strings.Builder) {
	r.Machine.Write(b)
	fmt.Fprintf(b, "Medians of %d alternating rounds; the ratio is mailhatch's figure beside the other's in the same run. Took %s.\n\n",
		r.Rounds, time.Duration(r.Seconds*float64(time.Second)).Round(time.Second))
	for _, why := range r.Absent {
		fmt.Fprintf(b, "- SKIPPED: %s\n", why)
	}
	if len(r.Absent) > 0 {
		b.WriteString("\n")
	}
	b.WriteString(checkHeader)
	for _, g := range r.Groups {
		for _, c := range g.Checks {
			b.WriteString(c.row())
		}
	}
	b.WriteString("\n")
	for _, g := range r.Groups {
		if g.Skipped != "" {
			fmt.Fprintf(b, "- %s: SKIPPED: %s\n", g.Group, g.Skipped)
		}
		if g.Failed != "" {
			fmt.Fprintf(b, "- %s: FAILED: %s\n", g.Group, g.Failed)
		}
		for _, note := range g.Notes {
			fmt.Fprintf(b, "- %s: %s\n", g.Group, note)
		}
		measure.WriteNotes(b, g.Rows)
	}
}

// failures counts what leaves the table incomplete or shows mail that was lost or doubled.
func (r *Report) failures() (n int) {
	for _, g := range r.Groups {
		n += measure.Failures(g.Rows)
		if g.Failed != "" {
			n++
		}
	}
	return n
}

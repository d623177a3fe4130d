package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// PeerCase is one case with both servers' medians.
type PeerCase struct {
	Case
	Mailhatch Figures `json:"mailhatch"`
	Postfix   Figures `json:"postfix"`
	Rows      []Row   `json:"rows"` // of every round
}

// Figures are what servers are compared by: medians of the rounds that did not fail.
type Figures struct {
	Rounds    int     `json:"rounds"`
	Accept    float64 `json:"accept_per_s"`
	Delivered float64 `json:"delivered_per_s"`
	P99       float64 `json:"p99_ms"`
	CPU       float64 `json:"cpu_us_per_msg"`
	PSS       float64 `json:"peak_pss_bytes"`
}

// PeerReport is the whole outcome of `mailbench peers`.
type PeerReport struct {
	Machine Machine    `json:"machine"`
	Rounds  int        `json:"rounds"`
	Cases   []PeerCase `json:"cases"`
}

// peersCommand is `mailbench peers`: mailhatch and Postfix take turns, so that what else the machine
// does meanwhile hits both.
func peersCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("mailbench peers", flag.ContinueOnError)
	fs.SetOutput(stderr)
	p := plan{upstreams: "smtp", timing: Timing{Load: 3 * time.Second, Drain: 10 * time.Second, Probe: time.Second}}
	p.flags(fs)
	rounds := fs.Int("rounds", 3, "measurements of each server and case; medians are shown")
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	if *rounds < 1 {
		return fmt.Errorf("%w: -rounds must be above 0", errUsage)
	}
	if why := postfixMissing(); why != "" {
		_, err := fmt.Fprintf(stdout, "Comparison with Postfix SKIPPED: %s.\n", why)
		return err
	}
	done, err := p.complete()
	if err != nil {
		return err
	}
	defer done()
	report := PeerReport{Rounds: *rounds}
	if report.Machine, err = inspect(p.dir, p.timing.Probe); err != nil {
		return err
	}
	failed := 0
	for i, c := range p.cases {
		fmt.Fprintf(stderr, "mailbench: %d/%d %s, %s, %d sessions\n", i+1, len(p.cases), c.Upstream, kibibytes(c.Size), c.Sessions)
		pc := p.compare(ctx, c, *rounds)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed += failures(pc.Rows)
		report.Cases = append(report.Cases, pc)
	}
	err = report.write(stdout)
	if p.json != "" {
		err = errors.Join(err, writeJSON(p.json, report))
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d measurements failed, see the notes below the table", failed))
	}
	return err
}

// compare measures one case in alternating rounds.
func (p *plan) compare(ctx context.Context, c Case, rounds int) PeerCase {
	pc := PeerCase{Case: c}
	for range rounds {
		pc.Rows = append(pc.Rows,
			measure(ctx, mailhatchLauncher(p.binary), "mailhatch", p.dir, c, p.timing),
			measure(ctx, startPostfix, "postfix", p.dir, c, p.timing))
	}
	pc.Mailhatch, pc.Postfix = medians(pc.Rows, "mailhatch"), medians(pc.Rows, "postfix")
	return pc
}

// medians takes each figure's median over one server's rounds.
func medians(rows []Row, server string) Figures {
	var kept []Row
	for _, row := range rows {
		if row.Server == server && row.Failed == "" {
			kept = append(kept, row)
		}
	}
	of := func(get func(Row) float64) float64 {
		if len(kept) == 0 {
			return 0
		}
		values := make([]float64, len(kept))
		for i, row := range kept {
			values[i] = get(row)
		}
		slices.Sort(values)
		return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	return Figures{
		Rounds:    len(kept),
		Accept:    of(func(r Row) float64 { return r.Accept }),
		Delivered: of(func(r Row) float64 { return r.Delivered }),
		P99:       of(func(r Row) float64 { return r.Load.Latency.P99 }),
		CPU:       of(func(r Row) float64 { return r.CPU }),
		PSS:       of(func(r Row) float64 { return float64(r.PSS) }),
	}
}

// write prints Markdown: both servers' figures and how many times Postfix's mailhatch's are.
func (r *PeerReport) write(w io.Writer) error {
	var b strings.Builder
	r.Machine.write(&b)
	fmt.Fprintf(&b, "Medians of %d alternating rounds, mailhatch / Postfix and the ratio of the two.\n\n", r.Rounds)
	if len(r.Cases) > 0 {
		b.WriteString(r.Cases[0].conditions())
	}
	b.WriteString("| upstream | size | sessions | accept/s | × | delivered/s | × | p99 ms | × | CPU µs/msg | × | peak PSS MiB | × |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	var rows []Row
	for _, c := range r.Cases {
		fmt.Fprintf(&b, "| %s | %s | %d |", c.Upstream, kibibytes(c.Size), c.Sessions)
		pair(&b, "%.0f", c.Mailhatch.Accept, c.Postfix.Accept)
		pair(&b, "%.0f", c.Mailhatch.Delivered, c.Postfix.Delivered)
		pair(&b, "%.1f", c.Mailhatch.P99, c.Postfix.P99)
		pair(&b, "%.0f", c.Mailhatch.CPU, c.Postfix.CPU)
		pair(&b, "%.1f", c.Mailhatch.PSS/(1<<20), c.Postfix.PSS/(1<<20))
		b.WriteString("\n")
		rows = append(rows, c.Rows...)
	}
	b.WriteString("\n")
	writeNotes(&b, rows)
	_, err := io.WriteString(w, b.String())
	return err
}

func pair(b *strings.Builder, format string, mailhatch, postfix float64) {
	ratio := "n/a"
	if mailhatch > 0 && postfix > 0 {
		ratio = fmt.Sprintf("%.2f", mailhatch/postfix)
	}
	fmt.Fprintf(b, " %s / %s | %s |", figure(mailhatch, format), figure(postfix, format), ratio)
}

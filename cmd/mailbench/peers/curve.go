package peers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"mailhatch/cmd/mailbench/command"
	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/measure"
)

// CurvePoint is the cost of mail at one state of the queue, with the cost at an empty queue measured in the
// same rounds.
type CurvePoint struct {
	Queued  int  `json:"queued"`
	History int  `json:"history"`
	Full    Cost `json:"full"`
	Empty   Cost `json:"empty"`
}

// Cost is what a message costs, accepted and delivered: medians.
type Cost struct {
	CPU       float64 `json:"cpu_us_per_msg"`
	Accept    float64 `json:"accept_per_s"`
	Delivered float64 `json:"delivered_per_s"`
	PSS       float64 `json:"peak_pss_mib"`
}

// CurveReport is the whole outcome of `mailbench curve`.
type CurveReport struct {
	Machine host.Machine  `json:"machine"`
	Rounds  int           `json:"rounds"`
	Points  []CurvePoint  `json:"points"`
	Rows    []measure.Row `json:"rows"`
}

// CurveCommand is `mailbench curve`: the cost of a message beside a queue and a history that grow.
func CurveCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("mailbench curve", flag.ContinueOnError)
	fs.SetOutput(stderr)
	b := &rig{stderr: stderr}
	b.flags(fs)
	out := fs.String("out", "cost-curve.svg", "write the picture to this `file`")
	json := fs.String("json", "", "write all figures to this `file` too")
	if err := command.Parse(fs, args); err != nil {
		return err
	}
	done, err := b.open()
	if err != nil {
		return err
	}
	defer done()
	report, err := b.curve(ctx)
	if err != nil {
		return err
	}
	var table strings.Builder
	report.write(&table)
	_, err = io.WriteString(stdout, table.String())
	err = errors.Join(err, os.WriteFile(*out, []byte(report.svg()), 0o644))
	if *json != "" {
		err = errors.Join(err, measure.WriteJSON(*json, report))
	}
	if n := measure.Failures(report.Rows); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d measurements failed, see the notes below the table", n))
	}
	return err
}

// curve measures all points: one folder whose queue grows, another with a history.
func (b *rig) curve(ctx context.Context) (*CurveReport, error) {
	r := &CurveReport{Rounds: b.rounds}
	var err error
	if r.Machine, err = host.Inspect(b.dir, b.timing.Probe); err != nil {
		return nil, err
	}
	growing, err := os.MkdirTemp(b.dir, "growing")
	if err != nil {
		return nil, err
	}
	before := 0
	for _, n := range []int{0, 10_000, 100_000, 1_000_000} {
		n = b.scaled(n)
		if err := b.refill(ctx, growing, filling{Queued: n - before}); err != nil {
			return nil, err
		}
		before = n
		if err := b.point(ctx, r, growing, filling{Queued: n}); err != nil {
			return nil, err
		}
	}
	if err := os.RemoveAll(growing); err != nil {
		return nil, err
	}
	history := filling{History: b.scaled(1_000_000)}
	dir, remove, err := b.full(ctx, history)
	if err != nil {
		return nil, err
	}
	defer remove()
	return r, b.point(ctx, r, dir, history)
}

// point measures one point beside an empty queue.
func (b *rig) point(ctx context.Context, r *CurveReport, dir string, f filling) error {
	fmt.Fprintf(b.stderr, "mailbench: %s\n", f)
	c := measure.Case{Upstream: "smtp", Size: 4096, Sessions: 16}
	launch := b.servers["mailhatch"]
	quiet := whenQuiet(launch, nil)
	var rows []measure.Row
	for range b.rounds {
		rows = append(rows, measure.Run(ctx, launch, "empty", b.dir, c, b.timing), measure.RunIn(ctx, quiet, f.String(), dir, c, b.timing))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	r.Rows = append(r.Rows, rows...)
	r.Points = append(r.Points, CurvePoint{Queued: f.Queued, History: f.History, Full: costOf(rows, f.String()), Empty: costOf(rows, "empty")})
	return nil
}

func costOf(rows []measure.Row, server string) Cost {
	return Cost{
		CPU:       medianOf(rows, server, func(r measure.Row) float64 { return r.CPU }),
		Accept:    medianOf(rows, server, accepted),
		Delivered: medianOf(rows, server, delivered),
		PSS:       medianOf(rows, server, func(r measure.Row) float64 { return float64(r.PSS) / (1 << 20) }),
	}
}

// String names a state of the queue.
func (f filling) String() string {
	if f.History > 0 {
		return short(f.History) + " sent"
	}
	return short(f.Queued) + " queued"
}

// short writes 10000 as 10 k.
func short(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprint(n)
}

// write writes Markdown.
func (r *CurveReport) write(b *strings.Builder) {
	r.Machine.Write(b)
	fmt.Fprintf(b, "4 KiB, 16 sessions, to an SMTP upstream; medians of %d rounds, in turns with an empty queue.\n\n", r.Rounds)
	b.WriteString("| queue | CPU µs/msg | of empty | accept/s | of empty | delivered/s | of empty | peak PSS MiB |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, p := range r.Points {
		fmt.Fprintf(b, "| %s | %.0f | %s | %.0f | %s | %.0f | %s | %.1f |\n", filling{p.Queued, p.History},
			p.Full.CPU, measure.Percent(p.Full.CPU, p.Empty.CPU), p.Full.Accept, measure.Percent(p.Full.Accept, p.Empty.Accept),
			p.Full.Delivered, measure.Percent(p.Full.Delivered, p.Empty.Delivered), p.Full.PSS)
	}
	b.WriteString("\n")
	measure.WriteNotes(b, r.Rows)
}

// svg draws the cost and the rate.
func (r *CurveReport) svg() string {
	cpu := panel{title: "CPU time for each message, accepted and delivered", unit: "µs"}
	rate := panel{title: "Messages delivered in a second", unit: "/s"}
	for _, p := range r.Points {
		label := filling{p.Queued, p.History}.String()
		cpu.add(label, p.Full.CPU, p.Empty.CPU)
		rate.add(label, p.Full.Delivered, p.Empty.Delivered)
	}
	foot := fmt.Sprintf("4 KiB, 16 sessions, SMTP upstream; medians of %d rounds. %s, %d cores, %s, %.0f fsyncs/s.",
		r.Rounds, r.Machine.CPU, r.Machine.Cores, r.Machine.Filesystem, r.Machine.FsyncsPerS)
	return drawPanels("What a message costs while the queue and the history grow", foot, cpu, rate)
}

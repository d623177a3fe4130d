package measure

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/cmd/mailbench/command"
	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/server"
	"mailhatch/cmd/mailbench/sink"
)

// plan is what `run` and `peers` have in common.
type plan struct {
	binary    string
	dir       string
	json      string
	quick     bool
	upstreams string
	sizes     string
	sessions  string
	timing    Timing

	perConnection int
	sinkDelay     time.Duration

	cases []Case
}

func (p *plan) flags(fs *flag.FlagSet) {
	fs.StringVar(&p.binary, "binary", "bin/mailhatch", "`path` of mailhatch")
	fs.StringVar(&p.dir, "dir", os.TempDir(), "`folder` for the queues, on the disk to measure")
	fs.StringVar(&p.json, "json", "", "write all figures to this `file` too")
	fs.BoolVar(&p.quick, "quick", false, "a glance: the first upstream only, a third of the times")
	fs.StringVar(&p.upstreams, "upstreams", p.upstreams, "any of "+strings.Join(server.Upstreams(), ",")+" (hold: accept only)")
	fs.StringVar(&p.sizes, "sizes", "4096,65536", "message sizes, bytes")
	fs.StringVar(&p.sessions, "sessions", "1,16,64", "connections at once")
	fs.IntVar(&p.perConnection, "per-connection", 0, "messages of one connection (0: all of a session)")
	fs.DurationVar(&p.sinkDelay, "sink-delay", 0, "`time` the upstream takes for each message")
	fs.DurationVar(&p.timing.Load, "load", p.timing.Load, "`time` of load in each case")
	fs.DurationVar(&p.timing.Drain, "drain", p.timing.Drain, "longest `time` to wait for delivery in each case")
}

// complete checks the flags and makes the cases and a folder of the plan's own; done removes it.
func (p *plan) complete() (done func(), err error) {
	if p.quick {
		p.timing = Timing{Load: p.timing.Load / 3, Drain: p.timing.Drain / 3, Probe: p.timing.Probe / 3}
		p.upstreams, _, _ = strings.Cut(p.upstreams, ",")
	}
	if p.timing.Load <= 0 || p.timing.Drain <= 0 || p.perConnection < 0 || p.sinkDelay < 0 {
		return nil, fmt.Errorf("%w: -load and -drain must be above 0, -per-connection and -sink-delay not below", command.ErrUsage)
	}
	if p.cases, err = makeCases(p.upstreams, p.sizes, p.sessions); err != nil {
		return nil, fmt.Errorf("%w: %v", command.ErrUsage, err)
	}
	for i := range p.cases {
		p.cases[i].PerConnection, p.cases[i].SinkDelay = p.perConnection, p.sinkDelay
	}
	if p.binary, err = filepath.Abs(p.binary); err != nil {
		return nil, err
	}
	if _, err := os.Stat(p.binary); err != nil {
		return nil, fmt.Errorf("no mailhatch to measure: %w (make build)", err)
	}
	if p.dir, err = os.MkdirTemp(p.dir, "mailbench"); err != nil {
		return nil, err
	}
	return func() { os.RemoveAll(p.dir) }, nil
}

func makeCases(upstreams, sizes, sessions string) ([]Case, error) {
	var cases []Case
	for _, upstream := range strings.Split(upstreams, ",") {
		if !slices.Contains(server.Upstreams(), upstream) {
			return nil, fmt.Errorf("no upstream %q", upstream)
		}
		for _, size := range strings.Split(sizes, ",") {
			bytes, err := strconv.Atoi(size)
			if err != nil || bytes < 512 || bytes > sink.MaxBody {
				return nil, fmt.Errorf("size %q is not a number from 512 to %d", size, sink.MaxBody)
			}
			for _, n := range strings.Split(sessions, ",") {
				count, err := strconv.Atoi(n)
				if err != nil || count < 1 || count > 10000 {
					return nil, fmt.Errorf("sessions %q is not a number from 1 to 10000", n)
				}
				cases = append(cases, Case{Upstream: upstream, Size: bytes, Sessions: count})
			}
		}
	}
	return cases, nil
}

// Command is `mailbench run`.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("mailbench run", flag.ContinueOnError)
	fs.SetOutput(stderr)
	p := plan{upstreams: "smtp,resend", timing: Timing{Load: 2 * time.Second, Drain: 4 * time.Second, Probe: 600 * time.Millisecond}}
	p.flags(fs)
	if err := command.Parse(fs, args); err != nil {
		return err
	}
	done, err := p.complete()
	if err != nil {
		return err
	}
	defer done()
	var report Report
	if report.Machine, err = host.Inspect(p.dir, p.timing.Probe); err != nil {
		return err
	}
	for i, c := range p.cases {
		fmt.Fprintf(stderr, "mailbench: %d/%d %s, %s, %d sessions\n", i+1, len(p.cases), c.Upstream, KiB(c.Size), c.Sessions)
		straight, err := ceiling(ctx, c, p.timing.Probe)
		if err != nil {
			return err
		}
		row := Run(ctx, server.Mailhatch(p.binary), "mailhatch", p.dir, c, p.timing)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		row.Ceiling = straight
		report.Rows = append(report.Rows, row)
	}
	err = report.write(stdout)
	if p.json != "" {
		err = errors.Join(err, WriteJSON(p.json, report))
	}
	if n := Failures(report.Rows); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d cases failed, see the notes below the table", n, len(report.Rows)))
	}
	return err
}

package peers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mailhatch/cmd/mailbench/command"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/server"
)

// rig is what groups measure with.
type rig struct {
	binary  string // of mailhatch
	self    string // of mailbench, which is also the server with a no-op queue
	dir     string // of this run, on the disk to measure
	relay   string // binary of decke/smtprelay
	fetch   bool   // try to build it
	rounds  int
	quick   bool
	timing  measure.Timing
	stderr  io.Writer
	servers map[string]server.Launcher // those that can be had here
	absent  []string
}

func (b *rig) flags(fs *flag.FlagSet) {
	b.timing = measure.Timing{Load: 3 * time.Second, Drain: 20 * time.Second, Probe: time.Second}
	fs.StringVar(&b.binary, "binary", "bin/mailhatch", "`path` of mailhatch")
	fs.StringVar(&b.dir, "dir", os.TempDir(), "`folder` for the queues, on the disk to measure")
	fs.IntVar(&b.rounds, "rounds", 3, "measurements of each server and case; medians are shown")
	fs.DurationVar(&b.timing.Load, "load", b.timing.Load, "`time` of load in each case")
	fs.BoolVar(&b.quick, "quick", false, "a glance: one round, a third of the times, queues a tenth as long")
	fs.StringVar(&b.relay, "smtprelay", "", "`path` of decke/smtprelay (default: in $PATH)")
	fs.BoolVar(&b.fetch, "fetch", false, "build decke/smtprelay with `go install` where it is not there")
}

// open finds the servers and makes a folder; done removes it.
func (b *rig) open() (done func(), err error) {
	if b.rounds < 1 || b.timing.Load <= 0 {
		return nil, fmt.Errorf("%w: -rounds and -load must be above 0", command.ErrUsage)
	}
	if b.quick {
		b.rounds = 1
		b.timing = measure.Timing{Load: b.timing.Load / 3, Drain: b.timing.Drain / 2, Probe: b.timing.Probe / 3}
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return nil, err
	}
	if _, err := os.Stat(b.binary); err != nil {
		return nil, fmt.Errorf("no mailhatch to measure: %w (make build)", err)
	}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp(b.dir, "mailbench"); err != nil {
		return nil, err
	}
	b.servers = map[string]server.Launcher{
		"mailhatch": server.Mailhatch(b.binary),
		"direct":    server.Direct(b.binary),
		"no-op":     server.Noop(b.self),
	}
	if why := server.PostfixMissing(); why != "" {
		b.absent = append(b.absent, "Postfix: "+why)
	} else {
		b.servers["Postfix"] = server.Postfix
	}
	return func() { os.RemoveAll(b.dir) }, nil
}

// turns measures a case with each of the servers that are here, in alternating rounds.
func (b *rig) turns(ctx context.Context, c measure.Case, servers ...string) []measure.Row {
	var rows []measure.Row
	for range b.rounds {
		for _, name := range servers {
			if launch := b.servers[name]; launch != nil && ctx.Err() == nil {
				rows = append(rows, measure.Run(ctx, launch, name, b.dir, c, b.timing))
			}
		}
	}
	return rows
}

// scaled returns the tenth part in a quick run.
func (b *rig) scaled(n int) int {
	if b.quick {
		return n / 10
	}
	return n
}

// stage is a server under test in a folder of its own.
type stage struct {
	*server.Process
	dir string
}

// stage starts a server in a new folder; leave ends it.
func (b *rig) stage(ctx context.Context, name string, to server.Target) (*stage, error) {
	dir, err := os.MkdirTemp(b.dir, name)
	if err != nil {
		return nil, err
	}
	p, err := b.servers[name](ctx, dir, to)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &stage{Process: p, dir: dir}, nil
}

// leave stops the server and removes its folder.
func (s *stage) leave() error { return errors.Join(s.Stop(), os.RemoveAll(s.dir)) }

// each calls f for the servers that are here, in alternating rounds, until one fails.
func (b *rig) each(ctx context.Context, servers []string, f func(server string) error) error {
	for range b.rounds {
		for _, server := range servers {
			if b.servers[server] == nil {
				continue
			}
			if err := f(server); err != nil {
				return fmt.Errorf("%s: %w", server, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// samples are figures of several rounds, by what they are of.
type samples map[string][]float64

func (s samples) add(of string, v float64) { s[of] = append(s[of], v) }
func (s samples) median(of string) float64 { return median(s[of]) }

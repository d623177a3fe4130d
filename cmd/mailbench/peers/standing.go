package peers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/latency"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/server"
	"mailhatch/cmd/mailbench/sink"
)

const (
	idleSettle = 3 * time.Second // from 220 to the reading of an idle server's memory
	startsEach = 3               // starts in a round; they are short
)

// idle measures the start with an empty queue, in a new folder each time, and what a server that does
// nothing holds in memory.
func idle(ctx context.Context, b *rig, o *Outcome) error {
	start, pss := samples{}, samples{}
	err := b.each(ctx, []string{"mailhatch", "Postfix"}, func(name string) error {
		for i := range startsEach {
			s, err := b.stage(ctx, name, server.Target{Upstream: "hold", SMTP: 1})
			if err != nil {
				return err
			}
			start.add(name, latency.Milliseconds(s.Startup))
			if i == 0 && host.Pause(ctx, idleSettle) {
				pss.add(name, s.PSS())
			}
			if err := s.leave(); err != nil {
				return err
			}
		}
		return nil
	})
	o.Checks = append(o.Checks,
		ratio("memory-idle", "PSS, idle", "%.1f MiB", pss.median("mailhatch"), "Postfix", pss.median("Postfix")),
		amount("memory-idle", "the same", "%.1f MiB", pss.median("mailhatch")).atMost(30, 20),
		ratio("start-empty", "from exec to 220, a new queue", "%.0f ms", start.median("mailhatch"), "Postfix", start.median("Postfix")),
		amount("start-empty", "the same", "%.0f ms", start.median("mailhatch")).atMost(150, 60))
	return err
}

// startQueued measures the start with mail in the queue.
func startQueued(ctx context.Context, b *rig, o *Outcome) error {
	n := b.scaled(100_000)
	dir, remove, err := b.full(ctx, filling{Queued: n})
	if err != nil {
		return err
	}
	defer remove()
	start := samples{}
	for range startsEach * b.rounds {
		p, err := b.servers["mailhatch"](ctx, dir, server.Target{Upstream: "smtp", SMTP: 1})
		if err != nil {
			return err
		}
		start.add("mailhatch", p.Startup.Seconds())
		if err := p.Stop(); err != nil {
			return err
		}
	}
	o.Checks = append(o.Checks, amount("start-queued", fmt.Sprintf("from exec to 220, %d queued", n), "%.3f s", start.median("mailhatch")).atMost(1, 0.5))
	return nil
}

// million compares a server whose queue is long with one whose queue is empty.
func million(ctx context.Context, b *rig, o *Outcome) error {
	n := b.scaled(1_000_000)
	dir, remove, err := b.full(ctx, filling{Queued: n})
	if err != nil {
		return err
	}
	defer remove()
	c := measure.Case{Upstream: "hold", Size: 4096, Sessions: 16}
	busy := samples{}
	launch := whenQuiet(b.servers["mailhatch"], func(d time.Duration) { busy.add("full", d.Seconds()) })
	for range b.rounds {
		o.Rows = append(o.Rows,
			measure.Run(ctx, b.servers["mailhatch"], "empty", b.dir, c, b.timing),
			measure.RunIn(ctx, launch, "full", dir, c, b.timing))
	}
	of := func(server string, get func(measure.Row) float64) float64 { return medianOf(o.Rows, server, get) }
	pss := func(r measure.Row) float64 { return float64(r.PSS) / (1 << 20) }
	startup := func(r measure.Row) float64 { return r.Startup / 1000 }
	o.Checks = append(o.Checks,
		ratio("million", fmt.Sprintf("accept, 16 sessions, %d queued", n), "%.0f/s", of("full", accepted), "queue empty", of("empty", accepted)).atLeast(0.8, 1),
		amount("million", "greatest PSS meanwhile", "%.1f MiB", of("full", pss)).atMost(200, 100),
		amount("million", "from exec to 220", "%.2f s", of("full", startup)),
		amount("million", "work in the background after that, not measured with", "%.1f s", busy.median("full")))
	return nil
}

const (
	quietLimit = time.Minute
	quietStep  = 500 * time.Millisecond
	quietShare = 0.1 // of one core
)

// whenQuiet launches a server and waits until it does no work of its own any more; told, which may be nil,
// hears how long that took.
func whenQuiet(launch server.Launcher, told func(time.Duration)) server.Launcher {
	return func(ctx context.Context, dir string, to server.Target) (*server.Process, error) {
		p, err := launch(ctx, dir, to)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		before, err := host.TreeUsage(p.Cmd.Process.Pid)
		for err == nil && time.Since(began) < quietLimit && host.Pause(ctx, quietStep) {
			var now host.Footprint
			now, err = host.TreeUsage(p.Cmd.Process.Pid)
			if now.CPU-before.CPU < time.Duration(quietShare*float64(quietStep)) {
				break
			}
			before = now
		}
		if told != nil {
			told(max(0, time.Since(began)-quietStep))
		}
		return p, nil
	}
}

// full makes a folder whose queue is filled; remove takes it away.
func (b *rig) full(ctx context.Context, f filling) (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp(b.dir, "full"); err != nil {
		return "", nil, err
	}
	if err := b.refill(ctx, dir, f); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// refill adds to the queue of a folder whose server is stopped.
func (b *rig) refill(ctx context.Context, dir string, f filling) error {
	if f == (filling{}) {
		return nil
	}
	need := int64(f.Queued+f.History) * fillPerMail
	if free, err := host.FreeSpace(b.dir); err == nil && free < need {
		return fmt.Errorf("%d MiB free in %s, %d needed (-dir)", free>>20, b.dir, need>>20)
	}
	began := time.Now()
	if err := fillQueue(ctx, server.StateDir(dir), f); err != nil {
		return err
	}
	host.Settle()
	fmt.Fprintf(b.stderr, "mailbench: filled with %d queued, %d sent in %s\n", f.Queued, f.History, time.Since(began).Round(time.Second/10))
	return nil
}

// binary weighs the program.
func binary(_ context.Context, b *rig, o *Outcome) error {
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	o.Checks = append(o.Checks, amount("binary", "size of "+filepath.Base(b.binary), "%.1f MB", float64(info.Size())/1e6).atMost(30, 20))
	return nil
}

const (
	restWatched = 15 * time.Second
	restGap     = 20 * time.Millisecond // in which no thread goes on: the program sleeps
)

// rest counts how often a server wakes that has nothing to do.
func rest(ctx context.Context, b *rig, o *Outcome) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		o.Skipped = "strace is not installed (Debian: apt-get install strace)"
		return nil
	}
	return b.on(ctx, measure.Case{Upstream: "smtp"}, func(s *stage, _ *sink.Sink) error {
		host.Pause(ctx, 2*idleSettle)
		trace := filepath.Join(s.dir, "trace")
		watch, cancel := context.WithTimeout(ctx, restWatched)
		defer cancel()
		cmd := exec.CommandContext(watch, strace, "-f", "-ttt", "-e", "trace=epoll_pwait,epoll_wait,futex,nanosleep", "-o", trace, "-p", strconv.Itoa(s.Cmd.Process.Pid))
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it lets go of the server
		if out, err := cmd.CombinedOutput(); watch.Err() == nil {
			o.Skipped = fmt.Sprintf("strace may not trace here: %v: %s", err, strings.TrimSpace(string(out)))
			return nil
		}
		f, err := os.Open(trace)
		if err != nil {
			return err
		}
		defer f.Close()
		n, took, err := wakeUps(f)
		if err != nil || took <= 0 {
			return errors.Join(err, ctx.Err())
		}
		o.Checks = append(o.Checks, amount("rest", "how often a server wakes that does nothing", "%.1f/s", float64(n)/took.Seconds()).atMost(2, 2))
		return nil
	})
}

// wakeUps counts the moments in a trace at which a thread goes on after a time in which none did.
func wakeUps(trace io.Reader) (n int, took time.Duration, err error) {
	var first, last float64
	lines := bufio.NewScanner(trace)
	for lines.Scan() {
		m := traceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		at, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return 0, 0, err
		}
		switch {
		case first == 0:
			first = at
		case at-last > restGap.Seconds():
			n++
		}
		last = at
	}
	return n, time.Duration((last - first) * float64(time.Second)), lines.Err()
}

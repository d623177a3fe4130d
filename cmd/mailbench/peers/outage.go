package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/server"
	"mailhatch/cmd/mailbench/sink"
	"mailhatch/test/freeport"
)

// outageLength is how long an upstream is down at least: longer than the first retries take.
const outageLength = 20 * time.Second

// outage fills a queue while the upstream is down and lets it return. mailhatch must find that out by
// itself; Postfix is told by `postqueue -f`.
func outage(ctx context.Context, b *rig, o *Outcome) error {
	n := b.scaled(10_000)
	var first, rate, pss = samples{}, samples{}, samples{}
	err := b.each(ctx, []string{"mailhatch", "Postfix"}, func(name string) error {
		got, err := b.outage(ctx, name, n)
		if err != nil {
			return err
		}
		first.add(name, got.first.Seconds())
		rate.add(name, got.drain)
		pss.add(name, got.pss)
		if got.missing > 0 || got.duplicates > 0 {
			o.note("%s: of %d messages %d were not delivered in time, %d came twice", name, n, got.missing, got.duplicates)
		}
		return nil
	})
	what := fmt.Sprintf("%d queued, the upstream returns after %s or more", n, b.outageLength())
	o.Checks = append(o.Checks,
		amount("outage", what+": first delivery, no command given", "%.2f s", first.median("mailhatch")).atMost(5, 5),
		ratio("drain", "the queue drains (Postfix: after postqueue -f)", "%.0f/s", rate.median("mailhatch"), "Postfix", rate.median("Postfix")).atLeast(2, 4),
		ratio("memory-queued", fmt.Sprintf("PSS with %d queued", n), "%.1f MiB", pss.median("mailhatch"), "Postfix", pss.median("Postfix")),
		amount("memory-queued", "the same", "%.1f MiB", pss.median("mailhatch")).atMost(60, 40))
	return err
}

func (b *rig) outageLength() time.Duration {
	if b.quick {
		return outageLength / 4
	}
	return outageLength
}

// recovery is what was seen of one outage.
type recovery struct {
	pss                 float64       // MiB, while all waited
	first               time.Duration // from the sink's return to its first message
	drain               float64       // messages/s from the first to the last
	missing, duplicates int
}

const drainLimit = 90 * time.Second

func (b *rig) outage(ctx context.Context, name string, n int) (got recovery, err error) {
	port, err := freeport.Reserve(ctx)
	if err != nil {
		return got, err
	}
	s, err := b.stage(ctx, name, server.Target{Upstream: "smtp", SMTP: port})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, s.leave()) }()
	down := time.Now()
	c := measure.Case{Upstream: "smtp", Size: 4096, Sessions: 16}
	l := c.LoadFor(s.Addr, 0)
	l.Messages = n
	result, err := l.Send(ctx)
	if err != nil {
		return got, err
	}
	if result.Accepted < n {
		return got, fmt.Errorf("%d of %d messages accepted: %v", result.Accepted, n, result.Problems)
	}
	if !host.Pause(ctx, max(2*time.Second, b.outageLength()-time.Since(down))) {
		return got, ctx.Err()
	}
	got.pss = s.PSS()
	dst, stop, err := sink.StartAt(ctx, port)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	back := time.Now()
	if name == "Postfix" {
		if err := server.FlushPostfix(ctx, s.dir); err != nil {
			return got, err
		}
	}
	limit, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	_ = dst.Await(limit, n) // what is missing is counted
	stats := dst.Stats()
	got.missing, got.duplicates = n-stats.Unique, stats.Duplicates
	if stats.Unique == 0 {
		return got, fmt.Errorf("nothing was delivered within %s", drainLimit)
	}
	got.first = stats.First.Sub(back)
	if took := stats.Last.Sub(stats.First).Seconds(); took > 0 {
		got.drain = float64(stats.Unique) / took
	}
	return got, nil
}

package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/sink"
)

const (
	slowAnswer     = 200 * time.Millisecond
	slowConcurrent = 64
	slowBacklog    = 6000 // messages handed over at once: more than is delivered while it is counted
	slowWindow     = 5 * time.Second
)

// slow measures an upstream that takes its time: each delivery under way costs next to nothing, so as
// many must be under way as the config allows, and acceptance must not notice.
func slow(ctx context.Context, b *rig, o *Outcome) error {
	got := samples{}
	for range b.rounds {
		for _, delay := range []time.Duration{0, slowAnswer} {
			accept, rate, err := b.slow(ctx, delay)
			if err != nil {
				return err
			}
			if delay == 0 {
				got.add("accept, fast", accept)
				continue
			}
			got.add("accept, slow", accept)
			got.add("delivered", rate)
		}
	}
	o.Checks = append(o.Checks,
		ratio("slow", fmt.Sprintf("delivered, the upstream takes %s, max_concurrent = %d", slowAnswer, slowConcurrent), "%.0f/s", got.median("delivered"),
			"max_concurrent / 0.2 s:", slowConcurrent/slowAnswer.Seconds()).atLeast(0.9, 0.9),
		ratio("slow", "accept beside it", "%.0f/s", got.median("accept, slow"), "with a fast upstream", got.median("accept, fast")).atLeast(0.9, 1))
	return nil
}

// slow hands a backlog over and gives the rates of acceptance and of delivery.
func (b *rig) slow(ctx context.Context, delay time.Duration) (accept, rate float64, err error) {
	c := measure.Case{Upstream: "smtp", Size: 4096, Sessions: 16, Concurrent: slowConcurrent, SinkDelay: delay}
	dst, stop, err := sink.Start(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	s, err := b.stage(ctx, "mailhatch", c.At(dst))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.leave()) }()
	warm := measure.Row{Case: c}
	if err := warm.WarmUp(ctx, s.Addr, dst); err != nil {
		return 0, 0, err
	}
	l := c.LoadFor(s.Addr, 0)
	l.Messages = slowBacklog
	result, err := l.Send(ctx)
	if err != nil || delay == 0 {
		return resultRate(result), 0, err
	}
	before, began := dst.Stats().Unique, time.Now()
	host.Pause(ctx, slowWindow)
	took := time.Since(began).Seconds()
	return result.PerSecond, float64(dst.Stats().Unique-before) / took, ctx.Err()
}

func resultRate(r *load.Result) float64 {
	if r == nil {
		return 0
	}
	return r.PerSecond
}

// stuckAnswer is what the upstream takes in the group backpressure.
const stuckAnswer = time.Second

// backpressure measures delivery that cannot keep up: the queue grows all the time, and neither the rate
// of acceptance nor memory may change for that.
func backpressure(ctx context.Context, b *rig, o *Outcome) error {
	got := samples{}
	for range b.rounds {
		if err := b.backpressure(ctx, got); err != nil {
			return err
		}
	}
	o.Checks = append(o.Checks,
		ratio("backpressure", fmt.Sprintf("accept when %.0f messages wait and 16/s are delivered", got.median("waiting")), "%.0f/s", got.median("last"), "at the beginning", got.median("first")).atLeast(0.9, 1),
		ratio("backpressure", "greatest PSS of the last third", "%.1f MiB", got.median("last PSS"), "of the first", got.median("first PSS")).atMost(1.25, 1.1))
	return nil
}

func (b *rig) backpressure(ctx context.Context, got samples) (err error) {
	c := measure.Case{Upstream: "smtp", Size: 4096, Sessions: 16, SinkDelay: stuckAnswer}
	dst, stop, err := sink.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	s, err := b.stage(ctx, "mailhatch", c.At(dst))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.leave()) }()
	warm := measure.Row{Case: c}
	if err := warm.WarmUp(ctx, s.Addr, dst); err != nil {
		return err
	}
	accepted := 0
	for _, third := range []string{"first", "second", "last"} {
		m, err := host.StartMeter(ctx, s.Cmd.Process.Pid)
		if err != nil {
			return err
		}
		result, err := c.LoadFor(s.Addr, b.timing.Load).Send(ctx)
		used, meterErr := m.Finish()
		if err := errors.Join(err, meterErr); err != nil {
			return err
		}
		accepted += result.Accepted
		got.add(third, result.PerSecond)
		got.add(third+" PSS", float64(used.PSS)/(1<<20))
	}
	got.add("waiting", float64(accepted-dst.Stats().Unique))
	return nil
}

package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/latency"
	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/message"
	"mailhatch/cmd/mailbench/server"
	"mailhatch/cmd/mailbench/sink"
)

// on stages a mailhatch whose upstream is a sink, and leaves both after use.
func (b *rig) on(ctx context.Context, c measure.Case, use func(s *stage, dst *sink.Sink) error) (err error) {
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
	return use(s, dst)
}

const (
	manyRecipients = 1000
	settled        = 500 * time.Millisecond // without a delivery: all has been delivered
)

// recipients measures a message to many: how long its sender waits, and how long delivery takes.
func recipients(ctx context.Context, b *rig, o *Outcome) error {
	got := samples{}
	for range b.rounds {
		for _, upstream := range []string{"smtp", "resend"} {
			c := measure.Case{Upstream: upstream, Size: 65536, Sessions: 1} // the header names all of them
			err := b.on(ctx, c, func(s *stage, dst *sink.Sink) error {
				if err := (&measure.Row{Case: c}).WarmUp(ctx, s.Addr, dst); err != nil {
					return err
				}
				m, err := host.StartMeter(ctx, s.Cmd.Process.Pid)
				if err != nil {
					return err
				}
				l := c.LoadFor(s.Addr, 0)
				l.Messages, l.Recipients = 1, manyRecipients
				result, err := l.Send(ctx)
				for last := -1; err == nil && last != dst.Stats().Accepted; {
					last = dst.Stats().Accepted
					host.Pause(ctx, settled)
				}
				used, meterErr := m.Finish()
				if err := errors.Join(err, meterErr, ctx.Err()); err != nil {
					return err
				}
				stats := dst.Stats()
				if result.Accepted != 1 || stats.Accepted == 0 {
					return fmt.Errorf("%s: accepted %d, %d sends: %v", upstream, result.Accepted, stats.Accepted, result.Problems)
				}
				got.add(upstream+" accept", result.Latency.Max)
				got.add(upstream+" all", latency.Milliseconds(stats.Last.Sub(result.Began)))
				got.add(upstream+" cpu", latency.Milliseconds(used.CPU))
				got.add(upstream+" sends", float64(stats.Accepted))
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	for _, upstream := range []string{"smtp", "resend"} {
		what := fmt.Sprintf("%d recipients, %s, %.0f sends: ", manyRecipients, upstream, got.median(upstream+" sends"))
		o.Checks = append(o.Checks,
			amount("recipients", what+"MAIL to 250", "%.1f ms", got.median(upstream+" accept")),
			amount("recipients", what+"MAIL to the last send", "%.0f ms", got.median(upstream+" all")).atMost(2000, 500),
			amount("recipients", what+"CPU", "%.0f ms", got.median(upstream+" cpu")))
	}
	return nil
}

// manyClients is a little less than max_connections.
const manyClients = 1900

// clients opens connections that wait, as printers do, and then has each send a message.
func clients(ctx context.Context, b *rig, o *Outcome) error {
	got := samples{}
	for range b.rounds {
		err := b.on(ctx, measure.Case{Upstream: "hold"}, func(s *stage, _ *sink.Sink) error {
			host.Pause(ctx, idleSettle)
			before := s.PSS()
			list := make([]*load.Client, 0, manyClients)
			defer func() {
				for _, c := range list {
					c.Close()
				}
			}()
			for range manyClients {
				c, err := load.Dial(ctx, s.Addr, measure.LoadTimeout)
				if err != nil {
					return err
				}
				list = append(list, c)
			}
			host.Pause(ctx, idleSettle)
			got.add("each", (s.PSS()-before)*1024/manyClients)
			began, refused := time.Now(), 0
			for i, c := range list {
				t, err := message.New(load.Sender, []string{"r1@sink.example"}, 4096)
				if err != nil {
					return err
				}
				if c.Send(load.Sender, []string{"r1@sink.example"}, t.Stamp(message.ID("manyclie", int64(i))), false) != nil {
					refused++
				}
			}
			got.add("all", time.Since(began).Seconds())
			got.add("refused", float64(refused))
			return nil
		})
		if err != nil {
			return err
		}
	}
	o.Checks = append(o.Checks,
		amount("clients", fmt.Sprintf("memory of each of %d connections that wait", manyClients), "%.1f KiB", got.median("each")).atMost(32, 16),
		amount("clients", "messages refused when each sends one, one after the other", "%.0f", got.median("refused")).atMost(0, 0),
		amount("clients", "time for that", "%.1f s", got.median("all")))
	return nil
}

// large hands over more than may be in memory at once.
func large(ctx context.Context, b *rig, o *Outcome) error {
	got := samples{}
	c := measure.Case{Upstream: "hold", Size: 35_000_000, Sessions: 64}
	for range b.rounds {
		err := b.on(ctx, c, func(s *stage, _ *sink.Sink) error {
			m, err := host.StartMeter(ctx, s.Cmd.Process.Pid)
			if err != nil {
				return err
			}
			l := c.LoadFor(s.Addr, 0)
			l.Messages, l.Timeout = c.Sessions, 2*time.Minute
			result, err := l.Send(ctx)
			used, meterErr := m.Finish()
			if err := errors.Join(err, meterErr); err != nil {
				return err
			}
			got.add("pss", float64(used.PSS)/(1<<20))
			got.add("accepted", float64(result.Accepted))
			got.add("later", float64(result.RefusedTemporary))
			got.add("lost", float64(result.RefusedPermanent+result.Broken))
			return nil
		})
		if err != nil {
			return err
		}
	}
	o.Checks = append(o.Checks,
		amount("large", "35 MB, 64 sessions at once: greatest PSS (max_in_flight is 512 MiB)", "%.0f MiB", got.median("pss")).atMost(600, 128),
		amount("large", "accepted at the first attempt", "%.0f", got.median("accepted")),
		amount("large", "told to come again (452)", "%.0f", got.median("later")),
		amount("large", "refused for good, or broken", "%.0f", got.median("lost")).atMost(0, 0))
	return nil
}

// cold starts a server whose queue and history are long.
func cold(ctx context.Context, b *rig, o *Outcome) error {
	n := b.scaled(1_000_000)
	dir, remove, err := b.full(ctx, filling{Queued: n, History: n})
	if err != nil {
		return err
	}
	defer remove()
	got := samples{}
	for range b.rounds {
		dst, stop, err := sink.Start(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		p, err := b.servers["mailhatch"](ctx, dir, server.Target{Upstream: "smtp", SMTP: dst.SMTPAddr().Port})
		if err != nil {
			return errors.Join(err, stop())
		}
		got.add("220", p.Startup.Seconds())
		l := measure.Case{Size: 4096, Sessions: 1}.LoadFor(p.Addr, 0)
		l.Messages = 1
		_, err = l.Send(ctx)
		if err == nil {
			err = dst.Await(ctx, 1)
		}
		got.add("first", time.Since(began).Seconds())
		host.Pause(ctx, idleSettle)
		got.add("pss", p.PSS())
		if err := errors.Join(err, p.Stop(), stop()); err != nil {
			return err
		}
	}
	what := fmt.Sprintf("%d queued, %d in the history: ", n, n)
	o.Checks = append(o.Checks,
		amount("cold", what+"from exec to 220", "%.2f s", got.median("220")).atMost(1, 0.5),
		amount("cold", what+"from exec to the delivery of a new message", "%.2f s", got.median("first")).atMost(2, 1),
		amount("cold", what+"PSS", "%.1f MiB", got.median("pss")).atMost(100, 60))
	return nil
}

package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/message"
)

// runID begins the id of each message of the soak; the number follows.
const runID = "soakload"

// load sends messages at the rate until the time is over.
func (s *soak) load(ctx context.Context, report *outcome) error {
	l := load.Load{Addr: host.Loopback(s.port), Sessions: s.sessions, Duration: s.duration, Rate: s.rate, Size: s.size,
		Recipients: 1, Timeout: measure.LoadTimeout, Run: runID}
	t, err := message.New(load.Sender, []string{"soak@sink.example"}, s.size)
	if err != nil {
		return err
	}
	schedule := load.NewSchedule(l)
	results := make([]*load.Result, s.sessions)
	errs := make([]error, s.sessions)
	var wg sync.WaitGroup
	for i := range results {
		results[i] = load.NewResult(runID)
		client := &client{soak: s, load: l, template: t.Clone(), result: results[i]}
		wg.Go(func() { errs[i] = client.run(ctx, schedule) })
	}
	wg.Wait()
	report.load = load.Merge(runID, results, time.Since(schedule.Start))
	return errors.Join(load.Dedupe(errs)...)
}

// client is one session of the load.
type client struct {
	soak     *soak
	load     load.Load
	template *message.Template
	result   *load.Result
	client   *load.Client
	broken   int
}

func (c *client) run(ctx context.Context, schedule *load.Schedule) error {
	defer func() {
		if c.client != nil {
			c.client.Quit()
		}
	}()
	for {
		n, due, ok := schedule.Take()
		if !ok || !host.SleepUntil(ctx, due) {
			return ctx.Err()
		}
		err := c.one(ctx, n)
		if c.result.Record(err, time.Since(due)) && c.client != nil {
			c.client.Close()
			c.client = nil
		}
		if c.broken++; err == nil {
			c.broken = 0
		}
		if c.broken >= load.MaxBroken {
			return fmt.Errorf("gave up after %d failures in a row: %w", c.broken, err)
		}
	}
}

// one sends message n; what is acknowledged goes into the ledger.
func (c *client) one(ctx context.Context, n int64) (err error) {
	if c.client == nil {
		if c.client, err = c.soak.dial(ctx, c.load); err != nil {
			return err
		}
		c.result.Connections++
	}
	way := path(n % 4)
	if err := c.client.Send(load.Sender, way.recipients(), c.template.Stamp(message.ID(runID, n)), false); err != nil {
		return err
	}
	c.soak.ledger.acknowledged(n, way)
	return nil
}

// dial connects to the gateway. While it is down it waits for the next start.
func (s *soak) dial(ctx context.Context, l load.Load) (*load.Client, error) {
	s.up.RLock()
	defer s.up.RUnlock()
	return load.Dial(ctx, l.Addr, l.Timeout)
}

// left counts what waits in the queue, by state. It may be asked of a stopped gateway.
func (s *soak) left(ctx context.Context) (map[string]int, error) {
	out, err := exec.CommandContext(ctx, s.binary, "-c", s.config(), "status", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	var status struct {
		Queue map[string]struct{ Parts int }
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	left := map[string]int{}
	for state, q := range status.Queue {
		if q.Parts > 0 {
			left[state] = q.Parts
		}
	}
	return left, nil
}

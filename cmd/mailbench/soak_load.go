package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// soakRun begins the id of each message of the soak; the number follows.
const soakRun = "soakload"

// load sends messages at the rate until the time is over.
func (s *soak) load(ctx context.Context, report *soakReport) error {
	l := Load{Addr: loopbackAddr(s.port), Sessions: s.sessions, Duration: s.duration, Rate: s.rate, Size: s.size,
		Recipients: 1, Timeout: loadTimeout, Run: soakRun}
	t, err := newTemplate(loadSender, []string{"soak@sink.example"}, s.size)
	if err != nil {
		return err
	}
	schedule := newSchedule(l)
	results := make([]*LoadResult, s.sessions)
	errs := make([]error, s.sessions)
	var wg sync.WaitGroup
	for i := range results {
		results[i] = newLoadResult(soakRun)
		client := &soakClient{soak: s, load: l, template: t.clone(), result: results[i]}
		wg.Go(func() { errs[i] = client.run(ctx, schedule) })
	}
	wg.Wait()
	report.load = merge(soakRun, results, time.Since(schedule.start))
	return errors.Join(dedupe(errs)...)
}

// soakClient is one session of the load.
type soakClient struct {
	soak     *soak
	load     Load
	template *template
	result   *LoadResult
	client   *client
	broken   int
}

func (c *soakClient) run(ctx context.Context, schedule *schedule) error {
	defer func() {
		if c.client != nil {
			c.client.quit()
		}
	}()
	for {
		n, due, ok := schedule.take()
		if !ok || !sleepUntil(ctx, due) {
			return ctx.Err()
		}
		err := c.one(ctx, n)
		if c.result.record(err, time.Since(due)) && c.client != nil {
			c.client.close()
			c.client = nil
		}
		if c.broken++; err == nil {
			c.broken = 0
		}
		if c.broken >= maxBrokenRow {
			return fmt.Errorf("gave up after %d failures in a row: %w", c.broken, err)
		}
	}
}

// one sends message n; what is acknowledged goes into the ledger.
func (c *soakClient) one(ctx context.Context, n int64) (err error) {
	if c.client == nil {
		if c.client, err = dial(ctx, c.load.Addr, c.load.Timeout); err != nil {
			return err
		}
		c.result.Connections++
	}
	way := soakWay(n % 4)
	if err := c.client.send(loadSender, way.recipients(), c.template.stamp(loadID(soakRun, n)), false); err != nil {
		return err
	}
	c.soak.ledger.acknowledged(n, way)
	return nil
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

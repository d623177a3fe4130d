package deliver

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/upstream"
)

// busy is an upstream with work of its own.
type busy struct {
	*scripted
	running atomic.Int32
	err     error
}

func (b *busy) Run(ctx context.Context) error {
	b.running.Add(1)
	defer b.running.Add(-1)
	if b.err != nil {
		return b.err
	}
	<-ctx.Done()
	return nil
}

// TestUpstreamsWork as long as their config holds; one whose work fails takes mail all the same.
func TestUpstreamsWork(t *testing.T) {
	old, fresh := &busy{scripted: &scripted{}}, &busy{scripted: &scripted{}}
	failing := &busy{scripted: &scripted{}, err: errors.New("no more work")}
	r := newRig(t, func(c *Config) { c.Upstreams[0].Upstream = old }, ups{"a": {}})
	r.start()
	r.await("the first", func() bool { return old.running.Load() == 1 })
	r.d.Reload(config(ups{"a": {}}, func(c *Config) { c.Upstreams[0].Upstream = fresh }))
	r.await("the second", func() bool { return fresh.running.Load() == 1 && old.running.Load() == 0 })
	r.d.Reload(config(ups{"a": {}}, func(c *Config) { c.Upstreams[0].Upstream = failing }))
	r.await("the failure", func() bool { return strings.Contains(r.journal(), "no more work") })
	r.put("a", "x@example.org")
	r.awaitSent(1)
	r.stop()
	if n := fresh.running.Load(); n != 0 {
		t.Errorf("%d still work after the end", n)
	}
}

// TestRetryUpstream: mail that waits for a refused account goes once an operator has seen to it.
func TestRetryUpstream(t *testing.T) {
	var healed atomic.Bool
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		if healed.Load() {
			return all(m, upstream.Outcome{})
		}
		return all(m, failing(upstream.Account, 401, "nobody has logged in"))
	}}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.put("a", "x@example.org")
	r.start()
	r.await("the closing", func() bool { return r.status("a").State == "closed" })
	healed.Store(true)
	r.d.Retry("none")
	r.d.Retry("a")
	r.awaitSent(1)
}

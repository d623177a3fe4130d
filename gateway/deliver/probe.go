package deliver

import (
	"context"
	"errors"
	"time"

	"mailhatch/upstream"
)

// probe watches the gate of a lane: when its pause is over, it is tried again; when it opens, the
// whole backlog is due at once.
func (l *lane) probe(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	was := open
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := l.gate.now()
		switch {
		case now == closed && l.gate.probeDue():
			if l.reachable(ctx) {
				l.hasten(ctx)
				l.gate.tryProbe()
			}
		case now == open && was != open:
			l.hasten(ctx)
		case now == closed && was == open && l.upstream.Failover:
			l.hasten(ctx) // what was put off before it closed has another way
			l.gate.sweepAgain()
		}
		was = now
	}
}

// reachable tries an upstream that was out of reach without spending a mail on it.
func (l *lane) reachable(ctx context.Context) bool {
	checker, ok := l.upstream.Upstream.(upstream.Checker)
	if !ok || l.gate.why() != unreachable {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, probeMax)
	defer cancel()
	began := time.Now()
	err := checker.Check(ctx)
	var e *upstream.Error
	if err != nil && (ctx.Err() != nil || (errors.As(err, &e) && e.Connect)) {
		l.gate.postpone(began, err)
		return false
	}
	return true // it speaks; what it thinks of mail a mail will show
}

func (l *lane) hasten(ctx context.Context) {
	l.gen.hasten(ctx, l.upstream.Name)
	l.poke()
}

func (g *generation) hasten(ctx context.Context, lane string) {
	g.hastenAfter(ctx, lane, time.Time{})
}

// hastenAfter makes the mail of a lane due now that is due later than after.
func (g *generation) hastenAfter(ctx context.Context, lane string, after time.Time) {
	if err := g.d.queue.Hasten(ctx, lane, after); err != nil && ctx.Err() == nil {
		g.d.journal.InternalError("queue", err)
	}
}

func (g *gate) probeDue() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == closed && !time.Now().Before(g.until)
}

func (g *gate) why() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reason
}

// Status is what the operator sees of one upstream.
type Status struct {
	Name          string
	State         string // open, probing or closed
	Reason        string // why it is not open
	Since         time.Time
	LastError     string
	NextProbe     time.Time // when mail is offered again
	InFlight      int
	MaxConcurrent int
	Rate          float64 // offers a second, 0: no limit
}

// Status tells how the upstreams are, in the order of the config.
func (d *Deliverer) Status() []Status {
	g := d.current.Load()
	if g == nil {
		return nil
	}
	list := make([]Status, 0, len(g.cfg.Upstreams))
	for i := range g.cfg.Upstreams {
		u := &g.cfg.Upstreams[i]
		s := g.lanes[u.Name].gate.status()
		s.Name, s.MaxConcurrent, s.Rate = u.Name, u.MaxConcurrent, u.Rate
		list = append(list, s)
	}
	return list
}

func (g *gate) status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Status{State: g.state.String(), Reason: g.reason, InFlight: g.inFlight}
	if g.state != open {
		s.Since, s.NextProbe = g.since, g.until
	} else if time.Now().Before(g.quiet) {
		s.NextProbe = g.quiet
	}
	if g.lastErr != nil {
		s.LastError = oneLine(g.lastErr.Error())
	}
	return s
}

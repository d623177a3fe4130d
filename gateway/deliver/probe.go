package deliver

import (
	"context"
	"errors"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/upstream"
)

// probe watches the gate of a lane: when its pause is over, it is tried again; when it opens, the
// whole backlog is due at once.
func (l *lane) probe(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	was := gate.Open
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := l.gate.State()
		switch {
		case now == gate.Closed && l.gate.ProbeDue():
			if l.isReachable(ctx) {
				l.hasten(ctx)
				l.gate.TryProbe()
			}
		case now == gate.Open && was != gate.Open:
			l.hasten(ctx)
		case now == gate.Closed && was == gate.Open && l.upstream.Failover:
			l.hasten(ctx) // what was put off before it closed can go to another upstream
			l.gate.SweepAgain()
		}
		was = now
	}
}

// isReachable tries an upstream that was out of reach without spending a mail on it.
func (l *lane) isReachable(ctx context.Context) bool {
	checker, ok := l.upstream.Upstream.(upstream.Checker)
	if !ok || l.gate.Reason() != gate.Unreachable {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, gate.ProbeMax)
	defer cancel()
	began := time.Now()
	err := checker.Check(ctx)
	var e *upstream.Error
	if err != nil && (ctx.Err() != nil || (errors.As(err, &e) && e.Connect)) {
		l.gate.Postpone(began, err)
		return false
	}
	return true // it answers; what it makes of mail, a mail will show
}

// hasten makes all mail of the lane due now.
func (l *lane) hasten(ctx context.Context) {
	l.gen.hasten(ctx, l.upstream.Name, time.Time{})
	l.poke()
}

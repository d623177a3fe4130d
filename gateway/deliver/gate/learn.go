package gate

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"mailhatch/upstream"
)

// pauseMax is the rate limit's window up to which a gate stays open.
const pauseMax = 10 * time.Second

// Learn takes in how one offer ended: nil, or the worst error of its recipients.
func (g *Gate) Learn(id string, err error) {
	var e *upstream.Error
	if !errors.As(err, &e) {
		e = &upstream.Error{Err: err}
	}
	switch {
	case errors.Is(err, ErrBusy), errors.Is(err, ErrClosed): // it was not asked
	case err == nil || e.Class == upstream.Permanent || e.Sender:
		g.succeed()
	case e.Class == upstream.Throttled:
		g.close(Throttled, err, cmp.Or(e.RetryAfter, g.backoff()))
	case e.Class == upstream.Account:
		g.close(Account, err, cmp.Or(e.RetryAfter, g.backoff()))
	case e.Connect:
		g.close(Unreachable, err, g.probeWait())
	case e.Outage || isBroken(e):
		g.learnBroken(id, err)
	case e.Class == upstream.Temporary: // it answers, and means this mail
		g.succeed()
	}
}

// Quiet holds further mail back where a provider reported with its success that its rate limit is used
// up. That is not a failure and happens every second where limits are counted so; a long one closes.
func (g *Gate) Quiet(outcomes []upstream.Outcome) {
	for _, o := range outcomes {
		if o.Pause > pauseMax {
			g.close(Throttled, errLimitUsedUp, o.Pause)
		} else if o.Pause > 0 {
			g.mu.Lock()
			g.quiet = time.Now().Add(o.Pause)
			g.mu.Unlock()
			g.tell()
		}
	}
}

// isBroken reports whether an answer, or silence, is about the upstream's health and not about the mail.
func isBroken(e *upstream.Error) bool {
	return (e.Class == upstream.Temporary || e.Class == upstream.Uncertain) &&
		(e.Status >= 500 || e.Status == 421 || e.Status == 0)
}

// learnBroken closes the gate when different mail met a broken server with no success between: one
// message alone that an upstream chokes on must not stop the others.
func (g *Gate) learnBroken(id string, err error) {
	g.mu.Lock()
	g.tried = time.Now()
	if !slices.Contains(g.broken, id) {
		g.broken = append(g.broken, id)
	}
	enough := len(g.broken) >= brokenLimit || g.state == Probing
	g.mu.Unlock()
	if enough {
		g.close(Unreachable, err, g.probeWait())
	}
}

// backoff returns the pause after a refusal that named none: the retry schedule, step by step.
func (g *Gate) backoff() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	retry := g.settings.Retry
	return retry[min(g.step(), len(retry)-1)]
}

// probeWait returns the pause before an upstream out of reach is probed: 1, 2, 4, 5, 5… seconds.
func (g *Gate) probeWait() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return min(time.Second<<min(g.step(), 3), ProbeMax)
}

// step is how far the pauses have grown: one that somebody has cut short is made again. g.mu is held.
func (g *Gate) step() int {
	if g.asked {
		return max(0, g.closings-1)
	}
	return g.closings
}

func (g *Gate) close(reason Reason, err error, wait time.Duration) {
	g.mu.Lock()
	g.tried = time.Now()
	first := g.state == Open
	already := g.state == Closed
	until := time.Now().Add(wait)
	if already && !until.After(g.until) { // others in flight met the same
		g.mu.Unlock()
		return
	}
	if first {
		g.since = time.Now()
		if g.settings.Alternatives {
			g.sweepAt = time.Now()
		}
	}
	if !already && !g.asked {
		g.closings++
	}
	g.asked, g.probed = false, false
	g.state, g.reason, g.lastErr, g.until = Closed, reason, err, until
	g.mu.Unlock()
	g.signal()
	g.tell()
	if first {
		g.journal.UpstreamClosed(g.settings.Name, reason.String(), err, until)
	}
}

// succeed opens the gate: the upstream took or judged a mail.
func (g *Gate) succeed() {
	g.mu.Lock()
	was := g.state
	since := g.since
	g.broken = g.broken[:0]
	if was == Closed { // the answer to an offer from before the closing
		g.mu.Unlock()
		return
	}
	g.state, g.reason, g.closings, g.lastErr, g.asked = Open, None, 0, nil, false
	paused := g.pause != nil
	g.mu.Unlock()
	if was == Open {
		return
	}
	g.tell()
	if !paused {
		g.journal.UpstreamOpened(g.settings.Name, time.Since(since))
		g.signal()
	}
}

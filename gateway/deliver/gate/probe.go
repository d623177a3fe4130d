package gate

import "time"

// ProbeDue reports whether the pause of a closed gate is over.
func (g *Gate) ProbeDue() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pause == nil && g.state == Closed && (g.reason == Quota && g.quotas.isOver(g.settings.Now()) || g.reason != Quota && !time.Now().Before(g.until))
}

// TryProbe moves a closed gate on to probing.
func (g *Gate) TryProbe() {
	g.mu.Lock()
	if g.state == Closed {
		g.state, g.askAt, g.probed = Probing, time.Time{}, false
	}
	g.mu.Unlock()
	g.signal()
}

// Postpone keeps a gate closed whose probe failed without a mail. The pause counts from the probe's
// beginning: what it waited for an answer was time enough.
func (g *Gate) Postpone(began time.Time, err error) {
	wait := g.probeWait()
	g.mu.Lock()
	if !g.asked {
		g.closings++
	}
	g.asked = false
	g.lastErr, g.until, g.tried, g.probed = err, began.Add(wait), time.Now(), false
	g.mu.Unlock()
	g.tell()
}

// TriedWithin reports whether the upstream has failed within that time.
func (g *Gate) TriedWithin(d time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.pause != nil: // it is not the upstream's failure either: nothing is given up before it is resumed
		return false
	case g.state == Closed && g.reason == Quota: // an attempt would only show what is known
		return true
	}
	return !g.tried.IsZero() && time.Since(g.tried) <= d
}

// ProbeSoon ends the wait of a closed gate for its next probe: mail is about to be given up, which takes a failure of
// now, or an operator wants to know. However often that is done, the pauses grow no longer by it. It does nothing against a quota or an operator's pause.
func (g *Gate) ProbeSoon() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == Closed && g.reason != Quota {
		g.until, g.asked = time.Now(), true
	}
}

// SweepDue reports whether the waiting mail should be routed anew, or expire, while the gate is closed.
func (g *Gate) SweepDue() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shown() == Closed && !g.probed && !time.Now().Before(g.sweepAt) // who probes needs the mail
}

// SweepWait returns the time between two sweeps.
func (g *Gate) SweepWait() time.Duration { return g.sweep }

// SweepAgain makes a sweep due for mail that was claimed during the last one.
func (g *Gate) SweepAgain() {
	g.mu.Lock()
	if g.settings.Alternatives {
		g.sweepAt = time.Now()
	}
	g.mu.Unlock()
	g.signal()
}

// SweepNow makes a sweep due.
func (g *Gate) SweepNow() {
	g.mu.Lock()
	g.sweepAt = time.Now()
	g.mu.Unlock()
	g.signal()
}

// Swept ends a sweep: no due mail is left.
func (g *Gate) Swept() {
	g.mu.Lock()
	g.sweepAt = time.Now().Add(g.sweep)
	g.mu.Unlock()
}

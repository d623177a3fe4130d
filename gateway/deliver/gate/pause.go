package gate

import (
	"fmt"
	"time"
)

// Pause is an operator's order to offer an upstream nothing. It is not changed once it is there.
type Pause struct {
	By string // the operator
	At time.Time
}

// String says so.
func (p *Pause) String() string {
	format := "2006-01-02 15:04"
	if time.Since(p.At) < 12*time.Hour {
		format = "15:04"
	}
	return fmt.Sprintf("paused by %s since %s", p.By, p.At.Local().Format(format))
}

// Pause closes the gate until Resume; a pause that it has already stays. Offers that are under way end as they end, and what they show stands after it.
func (g *Gate) Pause(p Pause) {
	g.mu.Lock()
	if g.pause != nil {
		g.mu.Unlock()
		return
	}
	g.pause = &p
	if g.settings.Alternatives {
		g.sweepAt = time.Now()
	}
	g.mu.Unlock()
	g.journal.UpstreamPaused(g.settings.Name, p.By)
	g.signal()
}

// Resume ends the pause. The gate is then as the upstream has shown to be.
func (g *Gate) Resume(by string) {
	g.mu.Lock()
	was, works := g.pause, g.state != Closed
	g.pause = nil
	g.mu.Unlock()
	if was != nil {
		g.journal.UpstreamResumed(g.settings.Name, by, time.Since(was.At), works)
		g.signal()
	}
}

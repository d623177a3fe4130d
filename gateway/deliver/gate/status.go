package gate

import (
	"time"

	"mailhatch/gateway/envelope"
)

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
	Quota         []Left
}

// Status returns the state of now as the operator sees it.
func (g *Gate) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Status{Name: g.settings.Name, State: g.state.String(), Reason: g.reason.String(), InFlight: g.inFlight,
		MaxConcurrent: g.settings.MaxConcurrent, Rate: g.settings.Rate}
	if g.state != Open {
		s.Since, s.NextProbe = g.since, g.until
	} else if time.Now().Before(g.quiet) {
		s.NextProbe = g.quiet
	}
	s.Quota = g.left()
	if g.lastErr != nil {
		s.LastError = envelope.ErrorText(g.lastErr)
	}
	return s
}

// Reason returns why the gate is not open.
func (g *Gate) Reason() Reason {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reason
}

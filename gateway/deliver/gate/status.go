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
	NextToken     time.Time // when the rate allows the next offer; zero: now
	InFlight      int
	MaxConcurrent int
	Rate          float64 // offers a second, 0: no limit
	Quota         []Left
	Pause         *Pause    // by an operator; nil: none
	Tried         time.Time // the last failure that was about the upstream
	Refused       []Refused // for which the account may not send, the oldest first
}

// Status returns the state of now as the operator sees it.
func (g *Gate) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Status{Name: g.settings.Name, State: g.shown().String(), Reason: g.reason.String(), InFlight: g.inFlight,
		MaxConcurrent: g.settings.MaxConcurrent, Rate: g.settings.Rate, Pause: g.pause, Tried: g.tried}
	if g.pause != nil {
		s.Reason, s.Since = Paused.String(), g.pause.At
	} else if g.state != Open {
		s.Since, s.NextProbe = g.since, g.until
	} else if time.Now().Before(g.quiet) {
		s.NextProbe = g.quiet
	}
	s.NextToken = g.limits.Next()
	s.Quota = g.left()
	s.Refused = g.senders.list(time.Now())
	if g.lastErr != nil {
		s.LastError = envelope.ErrorText(g.lastErr)
	}
	return s
}

// Reason returns why the gate is not open.
func (g *Gate) Reason() Reason {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pause != nil {
		return Paused
	}
	return g.reason
}

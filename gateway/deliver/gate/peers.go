package gate

import (
	"context"
	"errors"
	"slices"
	"time"

	"mailhatch/gateway/envelope"
)

// Peers are the other gateways that offer mail to the same upstreams. They are told what a gate has learnt, and it
// hears from them by [Gate.Hear].
type Peers interface {
	// Tell lets them know how an upstream is. It returns at once.
	Tell(upstream string, n News)
	// MayProbe reports whether this gateway is to probe an upstream: none of the others does so now.
	MayProbe(ctx context.Context, upstream string) bool
}

// News is what a gateway tells others of an upstream. Times are by the clocks of gateways, which should agree.
type News struct {
	State    State     `json:"state"` // Probing: who tells it probes
	Reason   Reason    `json:"reason,omitempty"`
	Error    string    `json:"error,omitempty"`
	Since    time.Time `json:"since,omitzero"`     // of the closing
	Until    time.Time `json:"until,omitzero"`     // of the next probe
	Closings int       `json:"closings,omitempty"` // in a row
	Quiet    time.Time `json:"quiet,omitzero"`     // of an open one: nothing is offered before
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name. One that a later version has made up closes: it is not known to let mail through.
func (s *State) UnmarshalText(name []byte) error {
	if i := slices.Index(stateNames[:], string(name)); i >= 0 {
		*s = State(i)
	} else {
		*s = Closed
	}
	return nil
}

// MarshalText writes the reason's label.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a reason's label.
func (r *Reason) UnmarshalText(name []byte) error {
	*r = Unreachable
	if i := slices.Index(reasonNames[:], string(name)); i >= 0 {
		*r = Reason(i)
	}
	return nil
}

type noPeers struct{}

func (noPeers) Tell(string, News)                     {}
func (noPeers) MayProbe(context.Context, string) bool { return true }

// probeTime is how long one gateway is left to probe an upstream before another tries.
const probeTime = 30 * time.Second

// ProbeTime is for how long MayProbe holds.
func ProbeTime() time.Duration { return probeTime }

// Name returns that of the upstream.
func (g *Gate) Name() string { return g.settings.Name }

// MayProbe reports whether no other gateway probes the upstream.
func (g *Gate) MayProbe(ctx context.Context) bool { return g.peers.MayProbe(ctx, g.settings.Name) }

// tell lets other gateways know of the state. A quota is counted for all of them: each finds out by itself.
func (g *Gate) tell() {
	g.mu.Lock()
	n := News{State: g.state, Reason: g.reason, Since: g.since, Until: g.until, Closings: g.closings}
	if g.lastErr != nil {
		n.Error = envelope.ErrorText(g.lastErr)
	}
	if g.state == Open {
		n = News{State: Open, Quiet: g.quiet}
	}
	g.mu.Unlock()
	if n.Reason != Quota {
		g.peers.Tell(g.settings.Name, n)
	}
}

// Hear takes in what another gateway has found out.
func (g *Gate) Hear(n News) {
	g.mu.Lock()
	was, since := g.state, g.since
	paused := g.pause != nil
	if was == Closed && g.reason == Quota {
		g.mu.Unlock()
		return
	}
	switch n.State {
	case Open:
		g.quiet = n.Quiet
		g.state, g.reason, g.closings, g.lastErr, g.asked, g.probed = Open, None, 0, nil, false, false
		g.broken = g.broken[:0]
	case Probing:
		g.hearClosed(n)
		g.probed, g.until, g.askAt = true, time.Now().Add(probeTime), time.Time{}
	default:
		g.hearClosed(n)
	}
	now, reason, err, until := g.state, g.reason, g.lastErr, g.until
	g.mu.Unlock()
	if was == now {
		return
	}
	g.signal()
	switch {
	case paused:
	case now == Open:
		g.journal.UpstreamOpened(g.settings.Name, time.Since(since))
	case was == Open:
		g.journal.UpstreamClosed(g.settings.Name, reason.String(), err, until)
	}
}

// hearClosed closes the gate on the word of another gateway. g.mu is held.
func (g *Gate) hearClosed(n News) {
	if g.state == Open {
		g.since = time.Now()
		if g.settings.Alternatives {
			g.sweepAt = time.Now()
		}
	}
	if !n.Since.IsZero() {
		g.since = n.Since
	}
	g.state, g.reason, g.until, g.closings, g.asked, g.probed = Closed, n.Reason, n.Until, n.Closings, false, false
	g.lastErr = errors.New(n.Error)
}

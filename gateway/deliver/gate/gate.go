// Package gate decides when mail may be offered to one upstream: its rate, its quotas, its concurrency, the pauses
// that its provider asks for, and whether it works at all.
//
// A gate closes when the upstream is out of reach, throttles, or refuses the account. After a pause it
// is probing: one mail at a time, until one is answered. A gate that closes for a quota opens when the window ends.
package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/quota"
	"mailhatch/upstream"
)

// State is whether mail is offered to an upstream.
type State int

// The states of a gate.
const (
	Open    State = iota
	Probing       // one mail at a time, until one succeeds
	Closed        // none, until the next probe
)

var stateNames = [...]string{"open", "probing", "closed"}

// String returns the name that `mailhatch status` shows.
func (s State) String() string { return stateNames[s] }

// Reason is why a gate is not open; it labels the log and the metrics.
type Reason int

// The reasons for which a gate closes.
const (
	None        Reason = iota
	Unreachable        // no connection, or only answers of a broken server
	Throttled
	Account // its key, bill, domain or settings
	Quota   // of the config, until the window ends
	Paused  // by an operator, until one resumes it
)

var reasonNames = [...]string{"", "unreachable", "throttled", "account", "quota", "paused"}

// String returns the label; "" for None.
func (r Reason) String() string { return reasonNames[r] }

// Errors of offers that were not made; they are wrapped in an *upstream.Error.
var (
	ErrClosed = errors.New("the upstream is closed")
	ErrBusy   = errors.New("the upstream is busy with other mail")
)

const (
	// ProbeMax is the longest pause between probes of an upstream out of reach, and the longest probe.
	ProbeMax     = 5 * time.Second
	brokenLimit  = 5                // answers of a broken server for different mail in a row that close the gate
	longThrottle = 10 * time.Minute // from here on other upstreams of `via` take over
	sweepShort   = 30 * time.Second // between sweeps where routes name another upstream
	sweepLong    = time.Hour        // where they name none: only expiry and changed routes matter
	// SweepMin is the shortest time between two sweeps.
	SweepMin = time.Second
)

// Settings are what a gate follows.
type Settings struct {
	Name          string           // of the upstream
	MaxConcurrent int              // offers at once, at least 1
	Rate          float64          // offers a second; 0: no limit
	RatePerDomain float64          // the same for the recipients of each domain
	Quota         []quota.Limit    // of recipients; nil: none
	QuotaZone     *time.Location   // of their calendar; nil: UTC
	Now           func() time.Time // the time of day of that calendar; nil: time.Now
	Alternatives  bool             // routes name other upstreams beside this one
	Retry         []time.Duration  // paces the probes of a refused account; the last one repeats
	MaxAge        time.Duration    // of mail: while the gate is closed, sweeps find what has expired
	WarnAfter     time.Duration    // and what its sender must be notified of; 0: nothing
	Pause         *Pause           // by an operator, from before; nil: none
	Reloaded      bool             // new routes: when the gate closes, mail that they send elsewhere is looked for at once
	Limits        Limits           // in place of Rate, RatePerDomain and MaxConcurrent of this process alone; nil: these
	Peers         Peers            // other gateways that offer mail to the upstream; nil: there are none
}

// Gate guards one upstream. Its methods may be called at once from many goroutines.
type Gate struct {
	settings Settings
	journal  *journal.Journal
	limits   Limits
	peers    Peers
	quotas   quotas        // with mu
	refusals refusals      // with mu
	sweep    time.Duration // between sweeps while closed
	changed  chan struct{} // one token: the state changed
	turned   chan struct{} // the same, for who probes

	mu       sync.Mutex
	pause    *Pause // nil: none. Beneath it the state goes on
	state    State
	reason   Reason
	lastErr  error
	since    time.Time // of the closing
	until    time.Time // of the next probe
	tried    time.Time // the last failure that was about the upstream
	closings int       // in a row, without a success between
	asked    bool      // the next probe is made out of turn: it failing says nothing new
	probed   bool      // another gateway probes it; state is Closed
	broken   []string  // ids of mail that met a broken server, in a row
	inFlight int
	quiet    time.Time // end of a pause that the provider asked for while all is well
	sweepAt  time.Time
	askAt    time.Time // when a probing gate may ask for the next mail to try it with
	senders  senders   // for which the account may not send; mail of others goes on
}

// New returns a gate that is open unless it is paused.
func New(s Settings, j *journal.Journal) *Gate {
	g := &Gate{settings: s, journal: j, pause: s.Pause, changed: make(chan struct{}, 1), turned: make(chan struct{}, 1), limits: s.Limits, peers: s.Peers, sweep: sweepLong}
	if s.Alternatives {
		g.sweep = sweepShort
	}
	g.sweep = min(g.sweep, max(s.MaxAge/10, SweepMin)) // so that mail expires about in time
	if s.WarnAfter > 0 {                               // and senders are notified of delays about in time
		g.sweep = min(g.sweep, max(s.WarnAfter/4, SweepMin))
	}
	if !s.Alternatives && !s.Reloaded {
		g.sweepAt = time.Now().Add(g.sweep)
	}
	if g.settings.QuotaZone == nil {
		g.settings.QuotaZone = time.UTC
	}
	if g.settings.Now == nil {
		g.settings.Now = time.Now
	}
	if g.limits == nil {
		g.limits = newOwnLimits(s.Rate, s.RatePerDomain, s.MaxConcurrent)
	}
	if g.peers == nil {
		g.peers = noPeers{}
	}
	return g
}

// Changed returns a channel that has a token after the state has changed.
func (g *Gate) Changed() <-chan struct{} { return g.changed }

// Turned is Changed for a second listener.
func (g *Gate) Turned() <-chan struct{} { return g.turned }

func (g *Gate) signal() {
	for _, token := range []chan<- struct{}{g.changed, g.turned} {
		select {
		case token <- struct{}{}:
		default:
		}
	}
}

// State returns the state of now.
func (g *Gate) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shown()
}

// shown is the state that others see. g.mu is held.
func (g *Gate) shown() State {
	if g.pause != nil {
		return Closed
	}
	return g.state
}

// Usable reports whether mail that has another upstream to go to should rather wait for this one. A
// probing gate asks for one mail to be tried with, and for another when that does not come, whoever probes it.
func (g *Gate) Usable() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.pause != nil:
		return false
	case g.state == Open, g.reason == Throttled && (g.state == Probing || time.Until(g.until) < longThrottle):
		return true
	case (g.state == Probing || g.probed) && !time.Now().Before(g.askAt):
		g.askAt = time.Now().Add(ProbeMax)
		return true
	}
	return false
}

// Begin takes one of the places for offers at once, waiting for it; End gives it back. The error wraps
// ErrBusy and that of ctx.
func (g *Gate) Begin(ctx context.Context) error {
	if err := g.limits.Begin(ctx); err != nil {
		return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("%w: %w", ErrBusy, err)}
	}
	g.mu.Lock()
	g.inFlight++
	g.mu.Unlock()
	return nil
}

// End ends an offer that Begin allowed.
func (g *Gate) End() {
	g.mu.Lock()
	g.inFlight--
	g.mu.Unlock()
	g.limits.End()
}

package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"mailhatch/gateway/journal"
	"mailhatch/upstream"
)

// gateState says whether mail is offered to an upstream.
type gateState int

const (
	open    gateState = iota
	probing           // one mail at a time, until one succeeds
	closed            // none, until the next probe
)

// String gives the name that `mailhatch status` shows.
func (s gateState) String() string { return [...]string{"open", "probing", "closed"}[s] }

// Reasons for which a gate closes; they label the log and the metrics.
const (
	unreachable = "unreachable" // no connection, or only answers of a broken server
	throttled   = "throttled"
	account     = "account" // our key, bill, domain or settings
)

const (
	troubleLimit = 5 // answers of a broken server for different mail in a row that close the gate
	probeMax     = 5 * time.Second
	longThrottle = 10 * time.Minute // from here on other upstreams of `via` take over
	sweepShort   = 30 * time.Second // between looks for another way, where routes name another upstream
	sweepLong    = time.Hour        // where there is none: only expiry and changed routes matter
	sweepLeast   = time.Second
)

// gate guards one upstream: rate, and closing for trouble that is the upstream's and not the mail's.
type gate struct {
	name    string
	retry   []time.Duration // paces probes of a refused account
	journal *journal.Journal
	limiter *rate.Limiter // nil: no limit
	sweep   time.Duration // between sweeps while closed
	others  bool          // routes name other upstreams beside this one
	changed chan struct{} // one token: the state changed
	places  chan struct{} // one token for each offer under way

	mu       sync.Mutex
	state    gateState
	reason   string
	lastErr  error
	since    time.Time // of the closing
	until    time.Time // of the next probe
	closings int       // in a row, without a success between
	trouble  []string  // ids of mail that met a broken server, in a row
	inFlight int
	lastSend time.Time
	quiet    time.Time // end of a pause that the provider asked for while all is well
	sweepAt  time.Time
	askAt    time.Time            // when a probing gate may ask for the next mail to try it with
	senders  map[string]time.Time // From domains that the account may not use, and until when they wait
}

// newGate returns an open gate. A rerouted one belongs to a reload: when it closes, mail that the new
// routes send elsewhere must be found at once.
func newGate(u *Upstream, p *Policy, rerouted bool, j *journal.Journal) *gate {
	g := &gate{name: u.Name, retry: p.Retry, journal: j, changed: make(chan struct{}, 1), places: make(chan struct{}, u.MaxConcurrent),
		sweep: sweepLong, others: u.Failover}
	if u.Failover {
		g.sweep = sweepShort
	}
	g.sweep = min(g.sweep, max(p.MaxAge/10, sweepLeast)) // so that mail expires about in time
	if p.WarnAfter > 0 {                                 // and senders hear of delays about in time
		g.sweep = min(g.sweep, max(p.WarnAfter/4, sweepLeast))
	}
	if !u.Failover && !rerouted {
		g.sweepAt = time.Now().Add(g.sweep)
	}
	if u.Rate > 0 {
		g.limiter = rate.NewLimiter(rate.Limit(u.Rate), max(1, min(int(u.Rate), u.MaxConcurrent)))
	}
	return g
}

func (g *gate) signal() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

func (g *gate) now() gateState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// usable says whether mail that has another upstream to go to should rather wait for this one. A
// probing gate asks for one mail to be tried with, and for another when that does not come.
func (g *gate) usable() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.state == open, g.reason == throttled && (g.state == probing || time.Until(g.until) < longThrottle):
		return true
	case g.state == probing && !time.Now().Before(g.askAt):
		g.askAt = time.Now().Add(probeMax)
		return true
	}
	return false
}

// tokens says how many offers the rate limit allows now, at most want, waiting for the first; spend
// takes them.
func (g *gate) tokens(ctx context.Context, want int) int {
	if !g.awaitQuiet(ctx) {
		return 0
	}
	if g.limiter == nil {
		return want
	}
	// One claim at a time: a token spent on an empty queue would be lost.
	for g.limiter.Tokens() < 1 {
		wait := time.Duration((1 - g.limiter.Tokens()) / float64(g.limiter.Limit()) * float64(time.Second))
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(max(wait, time.Millisecond)):
		}
	}
	return 1
}

func (g *gate) spend(n int) {
	if g.limiter != nil {
		g.limiter.ReserveN(time.Now(), n) // direct mail may have been quicker: then later offers wait longer
	}
}

// begin takes one of the places for offers at once, waiting for it; end gives it back. The error is that
// of ctx.
func (g *gate) begin(ctx context.Context) error {
	select {
	case g.places <- struct{}{}:
	case <-ctx.Done():
		return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("%w: %w", errBusy, context.Cause(ctx))}
	}
	g.mu.Lock()
	g.inFlight++
	g.lastSend = time.Now()
	g.mu.Unlock()
	return nil
}

func (g *gate) end() {
	g.mu.Lock()
	g.inFlight--
	g.mu.Unlock()
	<-g.places
}

// learn takes in how one offer ended: nil, or the worst error of its recipients.
func (g *gate) learn(id string, err error) {
	var e *upstream.Error
	if !errors.As(err, &e) {
		e = &upstream.Error{Err: err}
	}
	switch {
	case errors.Is(err, errBusy): // it was not asked
	case err == nil || e.Class == upstream.Permanent || e.Sender:
		g.succeed()
	case e.Class == upstream.Throttled:
		g.close(throttled, err, cmpOr(e.RetryAfter, g.backoff()))
	case e.Class == upstream.Account:
		g.close(account, err, cmpOr(e.RetryAfter, g.backoff()))
	case e.Connect:
		g.close(unreachable, err, g.probeWait())
	case e.Ailing || brokenServer(e):
		g.troubled(id, err)
	case e.Class == upstream.Temporary: // it speaks, and means this mail
		g.succeed()
	}
}

func cmpOr(a, b time.Duration) time.Duration {
	if a > 0 {
		return a
	}
	return b
}

// brokenServer tells answers, and silences, that speak of the upstream's health rather than of the mail.
func brokenServer(e *upstream.Error) bool {
	return (e.Class == upstream.Temporary || e.Class == upstream.Uncertain) &&
		(e.Status >= 500 || e.Status == 421 || e.Status == 0)
}

// troubled closes the gate when different mail met a broken server with no success between: one
// message alone that an upstream chokes on must not stop the others.
func (g *gate) troubled(id string, err error) {
	g.mu.Lock()
	if !slices.Contains(g.trouble, id) {
		g.trouble = append(g.trouble, id)
	}
	limit := troubleLimit
	if g.state == probing {
		limit = 1
	}
	enough := len(g.trouble) >= limit
	g.mu.Unlock()
	if enough {
		g.close(unreachable, err, g.probeWait())
	}
}

// backoff gives the pause after a refusal that named none: the retry schedule, step by step.
func (g *gate) backoff() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.retry[min(g.closings, len(g.retry)-1)]
}

// probeWait gives the pause before an upstream out of reach is probed: 1, 2, 4, 5, 5… seconds.
func (g *gate) probeWait() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return min(time.Second<<min(g.closings, 3), probeMax)
}

func (g *gate) close(reason string, err error, wait time.Duration) {
	g.mu.Lock()
	first := g.state == open
	already := g.state == closed
	until := time.Now().Add(wait)
	if already && !until.After(g.until) { // others in flight met the same trouble
		g.mu.Unlock()
		return
	}
	if first {
		g.since = time.Now()
		if g.others {
			g.sweepAt = time.Now()
		}
	}
	if !already {
		g.closings++
	}
	g.state, g.reason, g.lastErr, g.until = closed, reason, err, until
	g.mu.Unlock()
	g.signal()
	if first {
		g.journal.UpstreamClosed(g.name, reason, err, until)
	}
}

// succeed opens the gate: the upstream took or judged a mail.
func (g *gate) succeed() {
	g.mu.Lock()
	was := g.state
	since := g.since
	g.trouble = g.trouble[:0]
	if was == closed { // the answer to an offer from before the closing
		g.mu.Unlock()
		return
	}
	g.state, g.reason, g.closings, g.lastErr = open, "", 0, nil
	g.mu.Unlock()
	if was != open {
		g.journal.UpstreamOpened(g.name, time.Since(since))
		g.signal()
	}
}

// tryProbe moves a closed gate on to probing.
func (g *gate) tryProbe() {
	g.mu.Lock()
	if g.state == closed {
		g.state, g.askAt = probing, time.Time{}
	}
	g.mu.Unlock()
	g.signal()
}

// postpone keeps a gate closed whose probe failed without a mail. The pause counts from the probe's
// beginning: what it waited for an answer was time enough.
func (g *gate) postpone(began time.Time, err error) {
	wait := g.probeWait()
	g.mu.Lock()
	g.closings++
	g.lastErr, g.until = err, began.Add(wait)
	g.mu.Unlock()
}

// sweepDue says whether mail should be looked through for other ways while the gate is closed.
func (g *gate) sweepDue() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == closed && !time.Now().Before(g.sweepAt)
}

// sweepAgain makes a sweep due for mail that was claimed when the last one looked.
func (g *gate) sweepAgain() {
	g.mu.Lock()
	if g.others {
		g.sweepAt = time.Now()
	}
	g.mu.Unlock()
	g.signal()
}

// swept ends a sweep: no due mail is left.
func (g *gate) swept() {
	g.mu.Lock()
	g.sweepAt = time.Now().Add(g.sweep)
	g.mu.Unlock()
}

// blockSender keeps mail of one From domain back that the account may not use.
func (g *gate) blockSender(domain string, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.senders == nil {
		g.senders = map[string]time.Time{}
	}
	g.senders[domain] = time.Now().Add(wait)
}

// blocked says until when mail of a From domain waits; zero: it does not.
func (g *gate) blocked(domain string) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.senders[domain]
	if ok && !time.Now().Before(until) {
		delete(g.senders, domain)
		return time.Time{}
	}
	return until
}

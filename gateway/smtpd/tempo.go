package smtpd

import (
	"errors"
	"math"
	"time"
)

// While there is room a client may be as slow as RFC 5321 4.5.3.2 wants servers to bear. When
// connections or the budget are used up, those that make the least of their place give way.
const (
	patienceParts = 30      // of IdleTimeout: how long a session must have been slow to give way; 10 s of 5 min, as Postfix under stress
	slowRate      = 1 << 10 // bytes/s of a message that is worth a connection that others want
	creditFactor  = 2       // times IdleTimeout: how long a message may come at less than MinRate
	hardFactor    = 24      // times IdleTimeout: how long any message may take...
	hardRate      = 16      // ...and a second more for each so many times MinRate bytes
)

// errGaveWay ends a wait for the client because another needs the place.
var errGaveWay = errors.New("the client was slow when there was no room for others")

// patience is how long a session must have been slow to give way.
func (c *Config) patience() time.Duration { return c.IdleTimeout / patienceParts }

// tempo is how fast a message came lately. Only time spent waiting for the client counts: what the
// gateway itself takes is not the client's fault.
type tempo struct {
	period  time.Duration
	waited  time.Duration
	began   time.Duration // of the current period, by waited
	current int64         // bytes in the current period
	before  int64         // and in the one before
	known   bool          // a whole period has passed
}

// add counts n bytes that came after a wait.
func (t *tempo) add(wait time.Duration, n int) {
	t.waited += wait
	if periods := (t.waited - t.began) / t.period; periods > 0 {
		t.before, t.current, t.known = t.current, 0, true
		if periods > 1 {
			t.before = 0
		}
		t.began += periods * t.period
	}
	t.current += int64(n)
}

// rate returns bytes/s over the last one to two periods; false before the first is over. The client
// has been waited for since the last byte.
func (t tempo) rate(wait time.Duration) (float64, bool) {
	t.add(wait, 0)
	return float64(t.before+t.current) / (t.waited - t.began + t.period).Seconds(), t.known
}

// slowness returns how long a session has made nothing of its place; 0 for one that keeps it.
func (f *front) slowness(now time.Time) (d time.Duration, stranger bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() || f.cut {
		return 0, false
	}
	d = now.Sub(f.since)
	if f.inData {
		rate, known := f.tempo.rate(d)
		if !known || rate >= slowRate {
			return 0, false
		}
		d += f.tempo.waited
	}
	if d < f.cfg.patience() {
		return 0, false
	}
	return d, f.stranger
}

// cost returns how long the client would take to send again what its message holds; 0 for one that
// keeps its place.
func (f *front) cost(now time.Time, taken int64) (d time.Duration, stranger bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() || f.cut {
		return 0, false
	}
	rate, known := f.tempo.rate(now.Sub(f.since))
	if !known {
		return 0, false
	}
	if seconds := float64(taken) / max(rate, .001); seconds < math.MaxInt64/float64(time.Second) {
		d = time.Duration(seconds * float64(time.Second))
	} else {
		d = math.MaxInt64
	}
	if d < f.cfg.IdleTimeout {
		return 0, false
	}
	return d, f.stranger
}

// giveWay ends the session in favour of another, if it waits for its client now.
func (f *front) giveWay() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() || f.cut || f.closed {
		return false
	}
	f.cut = true
	f.raw.SetReadDeadline(time.Unix(1, 0))
	return true
}

// interruption is why a wait for the client must end; nil if it need not.
func (f *front) interruption() error {
	switch {
	case f.cut:
		return errGaveWay
	case f.draining && !f.inData:
		return errDraining
	}
	return nil
}

// pace is how fast a client must send a message: not slower than rate for longer than some minutes,
// not silent for longer than idle, and not for ever.
type pace struct {
	rate   int64 // bytes/s; 0 or less means any
	idle   time.Duration
	bytes  int64
	credit time.Duration // how long it may still come at less than rate
	left   time.Duration // until it must have ended
}

func newPace(cfg *Config) pace {
	return pace{rate: cfg.MinRate, idle: cfg.IdleTimeout, credit: creditFactor * cfg.IdleTimeout, left: hardFactor * cfg.IdleTimeout}
}

// fill reads more input, at the pace.
func (p *pace) fill(f *front) error {
	limit := p.idle
	if p.rate > 0 {
		limit = max(0, min(limit, p.credit, p.left))
	}
	began := time.Now()
	n, err := f.fill(began, began.Add(limit))
	wait := time.Since(began)
	f.mu.Lock()
	f.tempo.add(wait, n)
	f.mu.Unlock()
	p.bytes += int64(n)
	if p.rate > 0 {
		earned := time.Duration(float64(n) / float64(p.rate) * float64(time.Second))
		p.credit = min(p.credit-wait+earned, creditFactor*p.idle)
		p.left += earned/hardRate - wait
	}
	return err
}

package limit

import "time"

const (
	creditFactor = 2  // times the idle timeout: how long a message may come at less than its rate
	hardFactor   = 24 // times the idle timeout: how long any message may take...
	hardRate     = 16 // ...and a second more for each so many times the rate in bytes
)

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

// Pace is how fast a client must send a message: not slower than rate for longer than some minutes,
// not silent for longer than idle, and not for ever.
type Pace struct {
	conn   *Conn
	rate   int64 // bytes/s; 0 or less means any
	idle   time.Duration
	bytes  int64
	credit time.Duration // how long it may still come at less than rate
	left   time.Duration // until it must have ended
}

// NewPace begins to measure how fast a message comes, which must be at rate bytes/s; 0 or less means any.
func (c *Conn) NewPace(rate int64) Pace {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tempo = tempo{period: c.conns.Patience() / 2}
	idle := c.conns.idle
	return Pace{conn: c, rate: rate, idle: idle, credit: creditFactor * idle, left: hardFactor * idle}
}

// Limit returns how long the next wait for the client may take.
func (p *Pace) Limit() time.Duration {
	if p.rate > 0 {
		return max(0, min(p.idle, p.credit, p.left))
	}
	return p.idle
}

// Add counts n bytes that came after a wait.
func (p *Pace) Add(wait time.Duration, n int) {
	p.conn.mu.Lock()
	p.conn.tempo.add(wait, n)
	p.conn.mu.Unlock()
	p.bytes += int64(n)
	if p.rate > 0 {
		earned := time.Duration(float64(n) / float64(p.rate) * float64(time.Second))
		p.credit = min(p.credit-wait+earned, creditFactor*p.idle)
		p.left += earned/hardRate - wait
	}
}

// Bytes returns how many have come.
func (p *Pace) Bytes() int64 { return p.bytes }

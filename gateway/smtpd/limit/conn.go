package limit

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// slowRate is bytes/s of a message that is worth a connection that others want.
const slowRate = 1 << 10

// ErrGaveWay ends a wait for the client because another needs the place.
var ErrGaveWay = errors.New("the client was slow when there was no room for others")

// Conn is how a connection uses its place. Its session calls Arm before each read and Disarm after it;
// the other methods may be called from anywhere.
type Conn struct {
	conns   *Conns
	raw     net.Conn
	network netip.Prefix // that it is counted for; guarded by conns.mu

	mu        sync.Mutex
	draining  bool          // the server is about to end
	retiring  bool          // the server was replaced
	grace     time.Duration // where retiring: how long a wait between two messages may be
	between   bool          // the last wait for the client is, or was, one between two messages
	inMessage bool          // a message is being handed over: drain lets it finish
	closed    bool
	cut       bool      // its place was given to another
	since     time.Time // of the wait for the client; zero while the client waits
	tempo     tempo     // of the message being received
	stranger  bool      // neither a user nor on this machine
}

// Arm sets the deadline of the next read, unless somebody who ends the session has been here first: then
// it returns ErrGaveWay or ErrDraining. since is when the wait for what the read should bring began; between is
// whether that is a wait between two messages.
func (c *Conn) Arm(since, deadline time.Time, between bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.interruption(); err != nil {
		return err
	}
	if end := since.Add(c.grace); c.retiring && between && end.Before(deadline) {
		deadline = end
	}
	c.since, c.between = since, between
	return c.raw.SetReadDeadline(deadline)
}

// ArmBoth is Arm for a handshake, which writes too.
func (c *Conn) ArmBoth(deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.interruption(); err != nil {
		return err
	}
	if c.since.IsZero() {
		c.since = time.Now()
	}
	return c.raw.SetDeadline(deadline)
}

// Disarm ends the wait for the client with what the read returned. An error is nil if there are bytes, as
// it will come again, and the reason where somebody ended the wait.
func (c *Conn) Disarm(n int, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Time{}
	if n > 0 {
		return nil
	}
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case c.interruption() != nil:
		return c.interruption()
	case c.retiring && c.between:
		return ErrReplaced
	}
	return err
}

// interruption is why a wait for the client must end; nil if it need not.
func (c *Conn) interruption() error {
	switch {
	case c.cut:
		return ErrGaveWay
	case c.draining && !c.inMessage:
		return ErrDraining
	}
	return nil
}

// Close notes the end of the session, and reports whether this is the first time.
func (c *Conn) Close() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.closed
	c.closed = true
	return first
}

// SetStranger notes whether the client is unknown; strangers are the first to give way. New ones are.
func (c *Conn) SetStranger(stranger bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stranger = stranger
}

// SetInMessage notes whether a message is being handed over, which may be finished while the server ends.
func (c *Conn) SetInMessage(in bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inMessage = in
}

// Ending returns why the session must not begin another command: ErrDraining, or between two messages ErrReplaced. Else
// it returns nil.
func (c *Conn) Ending(between bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.draining:
		return ErrDraining
	case c.retiring && between && c.grace <= 0:
		return ErrReplaced
	}
	return nil
}

// drain asks the session to end between two commands.
func (c *Conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if !c.inMessage && !c.closed {
		c.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// retire asks the session to end once it has waited for grace between two messages.
func (c *Conn) retire(grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retiring, c.grace = true, grace
	if c.between && !c.since.IsZero() && c.interruption() == nil && !c.closed {
		c.raw.SetReadDeadline(c.since.Add(grace))
	}
}

// giveWay ends the session in favour of another, if it waits for its client now.
func (c *Conn) giveWay() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() || c.cut || c.closed {
		return false
	}
	c.cut = true
	c.raw.SetReadDeadline(time.Unix(1, 0))
	return true
}

// slowness returns how long a session has made nothing of its place; 0 for one that keeps it.
func (c *Conn) slowness(now time.Time) (d time.Duration, stranger bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() || c.cut {
		return 0, false
	}
	d = now.Sub(c.since)
	if c.inMessage {
		rate, known := c.tempo.rate(d)
		if !known || rate >= slowRate {
			return 0, false
		}
		d += c.tempo.waited
	}
	if d < c.conns.Patience() {
		return 0, false
	}
	return d, c.stranger
}

// cost returns how long the client would take to send again what its message holds; 0 for one that
// keeps its place.
func (c *Conn) cost(now time.Time, taken int64) (d time.Duration, stranger bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() || c.cut {
		return 0, false
	}
	rate, known := c.tempo.rate(now.Sub(c.since))
	if !known {
		return 0, false
	}
	if seconds := float64(taken) / max(rate, .001); seconds < math.MaxInt64/float64(time.Second) {
		d = time.Duration(seconds * float64(time.Second))
	} else {
		d = math.MaxInt64
	}
	if d < c.conns.idle {
		return 0, false
	}
	return d, c.stranger
}

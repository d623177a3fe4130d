package limit

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// patienceParts is of the idle timeout: how long a session must have been slow to give way; 10 s of 5 min, as
// Postfix under stress.
const patienceParts = 30

// ErrDraining refuses a connection, or ends a wait for the client, because the server is about to end.
var ErrDraining = errors.New("the server is shutting down")

// ErrReplaced ends a wait for the next message because another server has taken the place of this one.
var ErrReplaced = errors.New("the server was replaced")

// ErrFull refuses a connection when there are too many, none of which gives way.
var ErrFull = errors.New("too many connections")

// Conns is the connections that share a server.
type Conns struct {
	max     int
	perAddr int
	idle    time.Duration

	mu       sync.Mutex
	open     map[*Conn]struct{}
	networks map[netip.Prefix]int
	nextScan time.Time // for a session that may be given up
	draining bool
	retiring bool
	grace    time.Duration // where retiring
	empty    chan struct{} // closed when the last connection has left; nil: nobody waits for that
}

// NewConns returns limits of that many connections, and as many from one network (see Network); 0 or
// less means no limit. A connection may be silent for idle.
func NewConns(most, perAddr int, idle time.Duration) *Conns {
	return &Conns{max: most, perAddr: perAddr, idle: idle, open: map[*Conn]struct{}{}, networks: map[netip.Prefix]int{}}
}

// Patience is how long a session must have been slow to give way.
func (s *Conns) Patience() time.Duration { return s.idle / patienceParts }

// New returns a connection that is not counted yet. Its wait for the client begins now.
func (s *Conns) New(raw net.Conn) *Conn {
	return &Conn{conns: s, raw: raw, since: time.Now(), stranger: true}
}

// Len returns how many connections are open.
func (s *Conns) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Drain admits no more connections, and has the open ones end once they are not inside a message.
func (s *Conns) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for c := range s.open {
		c.drain()
	}
}

// Retire has the open connections end once they have waited for grace between two messages. What is in the middle of
// a message goes on.
func (s *Conns) Retire(grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retiring, s.grace = true, grace
	for c := range s.open {
		c.retire(grace)
	}
}

// Cut closes the sockets of all open connections.
func (s *Conns) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.raw.Close()
	}
}

// Await waits until no connection is open, and reports whether that came true before ctx ended.
func (s *Conns) Await(ctx context.Context) bool {
	select {
	case <-s.left():
		return true
	case <-ctx.Done():
		return false
	}
}

// left returns a channel that is closed once no connection is open.
func (s *Conns) left() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	empty := s.empty
	if empty == nil {
		empty = make(chan struct{})
	}
	if len(s.open) == 0 {
		close(empty)
	} else {
		s.empty = empty
	}
	return empty
}

// Admit counts a connection in, or returns ErrDraining or ErrFull.
func (s *Conns) Admit(c *Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return ErrDraining
	}
	if s.max > 0 && len(s.open) >= s.max && !s.evict() {
		return ErrFull
	}
	s.open[c] = struct{}{}
	if s.retiring { // it was on its way
		c.retire(s.grace)
	}
	return nil
}

// evict gives up the session that has been slow for longest, strangers first, and reports whether there was one.
func (s *Conns) evict() bool {
	now := time.Now()
	if now.Before(s.nextScan) {
		return false
	}
	var slowest *Conn
	var longest time.Duration
	var strange bool
	for c := range s.open {
		d, stranger := c.slowness(now)
		if d > 0 && (slowest == nil || stranger && !strange || stranger == strange && d > longest) {
			slowest, longest, strange = c, d, stranger
		}
	}
	if slowest == nil || !slowest.giveWay() {
		s.nextScan = now.Add(s.Patience() / 10) // a flood of connections must not cost a scan each
		return false
	}
	s.forget(slowest)
	return true
}

// AdmitAddr counts an admitted connection for the address of its client, and reports whether that may have
// one more. The zero Addr is not limited.
func (s *Conns) AdmitAddr(c *Conn, addr netip.Addr) bool {
	if s.perAddr <= 0 || !addr.IsValid() {
		return true
	}
	network := Network(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.networks[network] >= s.perAddr {
		return false
	}
	s.networks[network]++
	c.network = network
	return true
}

// Remove forgets a connection; twice does no harm.
func (s *Conns) Remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
}

func (s *Conns) forget(c *Conn) {
	if _, ok := s.open[c]; !ok {
		return
	}
	delete(s.open, c)
	if c.network.IsValid() {
		if s.networks[c.network]--; s.networks[c.network] <= 0 {
			delete(s.networks, c.network)
		}
		c.network = netip.Prefix{}
	}
	if len(s.open) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

package limit

import (
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
	empty    chan struct{} // closed when draining and the last connection has left
}

// NewConns returns limits of that many connections, and as many from one network (see Network); 0 or
// less means no limit. A connection may be silent for idle.
func NewConns(most, perAddr int, idle time.Duration) *Conns {
	return &Conns{max: most, perAddr: perAddr, idle: idle, open: map[*Conn]struct{}{}, networks: map[netip.Prefix]int{}, empty: make(chan struct{})}
}

// patience is how long a session must have been slow to give way.
func (s *Conns) patience() time.Duration { return s.idle / patienceParts }

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
	if !s.draining && len(s.open) == 0 {
		close(s.empty)
	}
	s.draining = true
	for c := range s.open {
		c.drain()
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

// Await waits until the last connection has left after Drain, and reports whether it did within d.
func (s *Conns) Await(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.empty:
		return true
	case <-t.C:
		return false
	}
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
		s.nextScan = now.Add(s.patience() / 10) // a flood of connections must not cost a scan each
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
	if len(s.open) == 0 && s.draining {
		close(s.empty)
	}
}

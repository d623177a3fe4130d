package admin

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// crowd bounds the connections of an address. Whoever can reach it can open as many as they like and ask for nothing, or
// so slowly that it never ends: then the one that has gone for longest without a request gives way to each that comes, and
// those who ask get their answer.
type crowd struct {
	limit  int
	mu     sync.Mutex
	guests map[string]*guest // by the address of the client, with its port
}

type guest struct {
	conn  net.Conn
	since time.Time // of the connection, or its last answer
	asks  int       // requests that are being answered
}

func newCrowd(limit int) *crowd { return &crowd{limit: limit, guests: map[string]*guest{}} }

// changed serves http.Server.ConnState.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := conn.RemoteAddr().String()
	switch state {
	case http.StateNew:
		if len(c.guests) >= c.limit && !c.dropOne() {
			hangUp(conn)
			return
		}
		c.guests[name] = &guest{conn: conn, since: time.Now()}
	case http.StateClosed, http.StateHijacked:
		if g := c.guests[name]; g != nil && g.conn == conn {
			delete(c.guests, name)
		}
	}
}

// dropOne closes the connection that has gone for longest without a request; false: all are being answered.
func (c *crowd) dropOne() bool {
	oldest := ""
	for name, g := range c.guests {
		if g.asks == 0 && (oldest == "" || g.since.Before(c.guests[oldest].since)) {
			oldest = name
		}
	}
	if oldest == "" {
		return false
	}
	hangUp(c.guests[oldest].conn)
	delete(c.guests, oldest)
	return true
}

// hangUp closes a connection without a word: TLS would wait for the client to take it.
func hangUp(conn net.Conn) {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	_ = conn.Close()
}

// count returns h, and knows which connections it answers.
func (c *crowd) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.ask(r.RemoteAddr, 1)
		defer c.ask(r.RemoteAddr, -1)
		h.ServeHTTP(w, r)
	})
}

func (c *crowd) ask(name string, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.guests[name]; g != nil {
		g.asks += more
		g.since = time.Now()
	}
}

// admitting is a listener that sends away whom it does not admit.
type admitting struct {
	net.Listener
	admits  func(client netip.Addr) bool // nil: everybody
	refused func(client string)          // may be nil
}

// Accept implements net.Listener.
func (l *admitting) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.admits == nil {
			return conn, err
		}
		addr, ok := conn.RemoteAddr().(*net.TCPAddr)
		if ok && l.admits(addr.AddrPort().Addr()) {
			return conn, nil
		}
		_ = conn.Close()
		if l.refused != nil {
			l.refused(conn.RemoteAddr().String())
		}
	}
}

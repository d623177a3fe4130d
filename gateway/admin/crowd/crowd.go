// Package crowd keeps an HTTP server from being kept busy by those who ask for nothing, and sends away whom it is not for.
package crowd

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Crowd bounds the connections of an address. Whoever can reach it can open as many as they like and ask for nothing, or
// so slowly that it never ends: then the one that has gone for longest without a request gives way to each that comes, and
// those who ask get their answer. Make one with New.
type Crowd struct {
	limit  int
	mu     sync.Mutex
	guests map[string]*guest // by the address of the client, with its port
}

type guest struct {
	conn  net.Conn
	since time.Time // of the connection, or its last answer
	asks  int       // requests that are being answered
}

// New returns a crowd of at most limit connections.
func New(limit int) *Crowd { return &Crowd{limit: limit, guests: map[string]*guest{}} }

// Changed serves http.Server.ConnState.
func (c *Crowd) Changed(conn net.Conn, state http.ConnState) {
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
func (c *Crowd) dropOne() bool {
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

// Count returns h, and knows which connections it answers.
func (c *Crowd) Count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.ask(r.RemoteAddr, 1)
		defer c.ask(r.RemoteAddr, -1)
		h.ServeHTTP(w, r)
	})
}

func (c *Crowd) ask(name string, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.guests[name]; g != nil {
		g.asks += more
		g.since = time.Now()
	}
}

// Admit returns a listener that passes on whom admits admits, and sends others away; nil admits everybody. refused is told
// of those; it may be nil.
func Admit(l net.Listener, admits func(client netip.Addr) bool, refused func(client string)) net.Listener {
	if admits == nil {
		return l
	}
	if refused == nil {
		refused = func(string) {}
	}
	return &admitting{l, admits, refused}
}

type admitting struct {
	net.Listener
	admits  func(client netip.Addr) bool
	refused func(client string)
}

// Accept implements net.Listener.
func (l *admitting) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok && l.admits(addr.AddrPort().Addr()) {
			return conn, nil
		}
		_ = conn.Close()
		l.refused(conn.RemoteAddr().String())
	}
}

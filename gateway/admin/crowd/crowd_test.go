package crowd

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// TestCrowdOfAskers: while all are being answered, none of them gives way.
func TestCrowdOfAskers(t *testing.T) {
	c := New(2)
	var conns []*addressed
	for _, name := range []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.1:4"} {
		conns = append(conns, &addressed{name: netip.MustParseAddrPort(name)})
	}
	for _, conn := range conns[:2] {
		c.Changed(conn, http.StateNew)
		c.ask(conn.RemoteAddr().String(), 1)
	}
	c.Changed(conns[2], http.StateNew)
	c.Changed(conns[2], http.StateClosed)
	if !conns[2].closed || conns[0].closed || conns[1].closed {
		t.Error("one that is being answered gave way")
	}
	c.ask("192.0.2.1:1", -1)
	time.Sleep(time.Millisecond)
	c.Changed(conns[3], http.StateNew)
	if !conns[0].closed || conns[3].closed || len(c.guests) != 2 {
		t.Error("the one that had its answer stays")
	}
	c.Changed(conns[0], http.StateClosed)
	c.Changed(conns[1], http.StateClosed)
	c.Changed(conns[3], http.StateClosed)
	if len(c.guests) != 0 {
		t.Errorf("left behind: %v", c.guests)
	}
}

// addressed is a connection that has an address and can be closed.
type addressed struct {
	net.Conn
	name   netip.AddrPort
	closed bool
}

func (a *addressed) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(a.name) }
func (a *addressed) Close() error         { a.closed = true; return nil }

// TestAdmit: whom a listener is not for is sent away, on record.
func TestAdmit(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if got := Admit(l, nil, nil); got != l {
		t.Error("nil admits everybody")
	}
	refused := make(chan string, 1)
	admitted := true
	in := Admit(l, func(client netip.Addr) bool { admitted = !admitted; return admitted && client.IsLoopback() }, func(client string) { refused <- client })
	for range 2 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	second, err := in.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if got := <-refused; got == second.RemoteAddr().String() {
		t.Errorf("%s was refused and admitted", got)
	}
	in.Close()
	if _, err := Admit(l, func(netip.Addr) bool { return true }, nil).Accept(); err == nil {
		t.Error("no error after the end")
	}
}

// TestTLS: one that gives way in the middle of a handshake is not waited for.
func TestTLS(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := New(1)
	c.Changed(tls.Server(ours, nil), http.StateNew)
	c.Changed(&addressed{name: netip.MustParseAddrPort("192.0.2.1:1")}, http.StateNew)
	if _, err := theirs.Read(make([]byte, 1)); err == nil {
		t.Error("it was not closed")
	}
}

// TestCount: a connection counts as busy while its request is answered.
func TestCount(t *testing.T) {
	c := New(1)
	first, second := &addressed{name: netip.MustParseAddrPort("192.0.2.1:1")}, &addressed{name: netip.MustParseAddrPort("192.0.2.1:2")}
	c.Changed(first, http.StateNew)
	c.Count(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { c.Changed(second, http.StateNew) })).ServeHTTP(nil, &http.Request{RemoteAddr: "192.0.2.1:1"})
	if first.closed || !second.closed {
		t.Error("the one that is being answered gave way")
	}
}

package admin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// TestSlowClients: however many connections ask for nothing, or never come to the end of their request, those who ask
// get their answer; and so does one whose answer takes long.
func TestSlowClients(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	_, address := start(t, Config{Queue: newFake(), Ready: func() []string { close(entered); <-leave; return nil }})
	patient := make(chan int)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(mustRequest(t, "http://"+address+"/readyz"))
		if err != nil {
			t.Error(err)
			patient <- 0
			return
		}
		resp.Body.Close()
		patient <- resp.StatusCode
	}()
	<-entered
	var slow []net.Conn
	for i := range 3 * maxConnections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: local")
		}
		slow = append(slow, conn)
	}
	own := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3 {
		resp, err := own.Get("http://" + address + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	}
	if _, err := bufio.NewReader(slow[0]).ReadByte(); err == nil {
		t.Error("the slowest is still there")
	}
	close(leave)
	if status := <-patient; status != http.StatusOK {
		t.Errorf("the answer that takes long: %d", status)
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCrowdOfAskers: while all are being answered, none of them gives way.
func TestCrowdOfAskers(t *testing.T) {
	c := newCrowd(2)
	var conns []*addressed
	for _, name := range []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.1:4"} {
		conns = append(conns, &addressed{name: netip.MustParseAddrPort(name)})
	}
	for _, conn := range conns[:2] {
		c.changed(conn, http.StateNew)
		c.ask(conn.RemoteAddr().String(), 1)
	}
	c.changed(conns[2], http.StateNew)
	c.changed(conns[2], http.StateClosed)
	if !conns[2].closed || conns[0].closed || conns[1].closed {
		t.Error("one that is being answered gave way")
	}
	c.ask("192.0.2.1:1", -1)
	time.Sleep(time.Millisecond)
	c.changed(conns[3], http.StateNew)
	if !conns[0].closed || conns[3].closed || len(c.guests) != 2 {
		t.Error("the one that had its answer stays")
	}
	c.changed(conns[0], http.StateClosed)
	c.changed(conns[1], http.StateClosed)
	c.changed(conns[3], http.StateClosed)
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

// TestAdmits: whom a door does not admit is sent away, on record.
func TestAdmits(t *testing.T) {
	refused := make(chan string, 1)
	s := New(Config{Queue: newFake(), Refused: func(client string) { refused <- client }})
	admitted := false
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := &admitting{l, func(client netip.Addr) bool { admitted = !admitted; return !admitted && client.IsLoopback() }, s.cfg.Refused}
	defer in.Close()
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
}

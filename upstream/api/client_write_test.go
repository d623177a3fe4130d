package api

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHTTPWrites checks that the body of a request with mail of usual size leaves whole, not piece by piece.
// Its header goes before it: what fails there has certainly not been acted on.
func TestHTTPWrites(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	transport := newTransport(new(net.Dialer), nil, time.Minute)
	defer transport.CloseIdleConnections()
	var writes atomic.Int32
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return &countedConn{Conn: c, writes: &writes}, err
	}
	client := newClient(transport, server.URL)
	literal := []byte(strings.Repeat("x", 4<<10))
	body := Payload{{Literal: literal[:100]}, {Literal: literal}, {Literal: literal}}
	for range 3 {
		a, err := client.Do(t.Context(), &Request{Method: "POST", Path: "/emails", Body: body})
		if err != nil || a.Status != 200 {
			t.Fatal(a, err)
		}
	}
	if n := writes.Load(); n != 2*3 {
		t.Errorf("3 requests took %d writes", n)
	}
}

// countedConn counts what goes to the system as one write each.
type countedConn struct {
	net.Conn
	writes *atomic.Int32
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestHTTPConnections checks that requests use the connections that are there, all of them kept, and a single
// one where the server speaks HTTP/2.
func TestHTTPConnections(t *testing.T) {
	const senders, waves = 8, 5
	for _, test := range []struct {
		name        string
		connections int32
	}{{"HTTP/1.1", senders}, {"HTTP/2.0", 1}} {
		t.Run(test.name, func(t *testing.T) {
			var opened, other atomic.Int32
			var wave sync.WaitGroup // requests of one wave are answered when all are there
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != test.name {
					other.Add(1)
				}
				wave.Done()
				wave.Wait()
				_, _ = io.Copy(w, r.Body)
			}))
			server.EnableHTTP2 = test.name == "HTTP/2.0"
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					opened.Add(1)
				}
			}
			server.StartTLS()
			defer server.Close()
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			transport := newTransport(new(net.Dialer), roots, time.Minute)
			defer transport.CloseIdleConnections()
			client := newClient(transport, server.URL)
			send := func(n int) {
				wave.Add(n)
				var all sync.WaitGroup
				for range n {
					all.Go(func() {
						a, err := client.Do(t.Context(), &Request{Method: "POST", Path: "/emails", Body: Payload{{Literal: []byte("{}")}}})
						if err != nil || a.Status != 200 {
							t.Error(a, err)
						}
					})
				}
				all.Wait()
			}
			send(1) // so that those who come together find an HTTP/2 connection
			for range waves {
				send(senders)
			}
			if n := opened.Load(); n != test.connections {
				t.Errorf("%d connections, want %d", n, test.connections)
			}
			if n := other.Load(); n > 0 {
				t.Errorf("%d requests were not %s", n, test.name)
			}
		})
	}
}

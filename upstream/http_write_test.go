package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestHTTPWrites checks that the body of a request with mail of usual size leaves whole, not piece by piece.
// Its header goes before it: what fails there has certainly not been acted on.
func TestHTTPWrites(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	transport := httpTransport(nil, time.Minute)
	defer transport.CloseIdleConnections()
	var writes atomic.Int32
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return &countedConn{Conn: c, writes: &writes}, err
	}
	client := &httpClient{client: &http.Client{Transport: transport}, base: server.URL, timeout: time.Minute}
	literal := []byte(strings.Repeat("x", 4<<10))
	body := payload{{literal: literal[:100]}, {literal: literal}, {literal: literal}}
	for range 3 {
		a, err := client.do(t.Context(), &httpRequest{method: "POST", path: "/emails", body: body})
		if err != nil || a.status != 200 {
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

package postgres

import (
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a store and its server, and can lose what the server answers.
type proxy struct {
	url  string
	lose atomic.Int32 // connections that are to break at the next answer; the server has done then what it was asked for
	lost atomic.Int32
}

func newProxy(t *testing.T, rawURL string) *proxy {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	target := filepath.Join(q.Get("host"), ".s.PGSQL.5432")
	dir, err := os.MkdirTemp("", "proxy") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	p := &proxy{url: u.String()}
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			work.Go(func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			})
			work.Go(func() { p.answer(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
		_ = os.RemoveAll(dir)
	})
	return p
}

// answer passes on what the server says.
func (p *proxy) answer(client, server net.Conn) {
	defer client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if p.lose.Load() > 0 && isCommitted(buf[:n]) {
			p.lose.Add(-1)
			p.lost.Add(1)
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// isCommitted reports whether an answer ends a transaction that has written something: it says so of INSERT or COMMIT, and that
// none is open any more.
func isCommitted(answer []byte) bool {
	n := len(answer)
	ready := n >= 6 && answer[n-6] == 'Z' && answer[n-1] == 'I'
	return ready && (contains(answer, "INSERT 0") || contains(answer, "COMMIT"))
}

func contains(b []byte, text string) bool {
	for i := 0; i+len(text) <= len(b); i++ {
		if string(b[i:i+len(text)]) == text {
			return true
		}
	}
	return false
}

package postgrestest

import (
	"bytes"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between clients and a server, and makes what a network and a dying server do.
type Proxy struct {
	URL string // of the database by way of the proxy

	target string
	tries  atomic.Int64 // connections that were asked for
	asked  atomic.Int64 // pieces that clients have sent
	lose   atomic.Int32
	lost   atomic.Int32
	cut    atomic.Int64 // pieces that are still to pass before a connection is cut, plus one; 0: none is

	mu    sync.Mutex
	gone  bool
	hung  chan struct{} // closed when it hangs no more; nil: it does not hang
	conns map[net.Conn]struct{}
}

// NewProxy returns a proxy to the database of a URL of this package, until the end of the test.
func NewProxy(t testing.TB, rawURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	dir, err := os.MkdirTemp("/tmp", "proxy") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: filepath.Join(q.Get("host"), ".s.PGSQL.5432"), conns: map[net.Conn]struct{}{}}
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	p.URL = u.String()
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
			p.tries.Add(1)
			work.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut()
		p.Hang(false)
		work.Wait()
		_ = os.RemoveAll(dir)
	})
	return p
}

// Lose has the next n answers that confirm a transaction lost, with their connections.
func (p *Proxy) Lose(n int) { p.lose.Store(int32(n)) }

// Lost returns how many answers were lost since it was called last.
func (p *Proxy) Lost() int { return int(p.lost.Swap(0)) }

// Away has all connections end and none begin, or lets them begin again.
func (p *Proxy) Away(gone bool) {
	p.mu.Lock()
	p.gone = gone
	p.mu.Unlock()
	if gone {
		p.Cut()
	}
}

// CutAfter has the connection end on which the client sends something after so many more pieces of all connections, once; negative: none.
func (p *Proxy) CutAfter(pieces int) { p.cut.Store(int64(max(pieces, -1) + 1)) }

// Cut ends all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Hang has nothing pass any more while all connections stay, or lets everything pass again.
func (p *Proxy) Hang(hang bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case hang && p.hung == nil:
		p.hung = make(chan struct{})
	case !hang && p.hung != nil:
		close(p.hung)
		p.hung = nil
	}
}

// Count returns how many connections were asked for, and how many pieces clients have sent, so far.
func (p *Proxy) Count() (connections, pieces int64) { return p.tries.Load(), p.asked.Load() }

// use puts connections among those that Cut ends.
func (p *Proxy) use(conns ...net.Conn) (done func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil, false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range conns {
			delete(p.conns, c)
			_ = c.Close()
		}
	}, true
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	done, ok := p.use(client, server)
	if !ok {
		_, _ = client.Close(), server.Close()
		return
	}
	var work sync.WaitGroup
	work.Go(func() {
		p.pass(client, server, func([]byte) bool {
			p.asked.Add(1)
			return p.cut.Load() == 0 || p.cut.Add(-1) != 0
		})
		_ = server.Close()
	})
	p.pass(server, client, p.answer)
	done()
	work.Wait()
}

// pass hands on what comes while also agrees.
func (p *Proxy) pass(from, to net.Conn, also func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		hung := p.hung
		p.mu.Unlock()
		if hung != nil {
			<-hung
		}
		if !also(buf[:n]) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// answer reports whether an answer of the server is to arrive.
func (p *Proxy) answer(text []byte) bool {
	if p.lose.Load() > 0 && isCommitted(text) {
		p.lose.Add(-1)
		p.lost.Add(1)
		return false
	}
	return true
}

// isCommitted reports whether an answer ends a transaction that has written something: it says so of INSERT or COMMIT, and that
// none is open any more.
func isCommitted(answer []byte) bool {
	n := len(answer)
	ready := n >= 6 && answer[n-6] == 'Z' && answer[n-1] == 'I'
	return ready && (bytes.Contains(answer, []byte("INSERT 0")) || bytes.Contains(answer, []byte("COMMIT")))
}

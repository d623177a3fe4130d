package sqlite

import (
	"context"
	"sync"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
)

// readerConns is how many queries run at once.
const readerConns = 4

// reader answers questions about the rows on connections of its own, by short transactions: one that
// stays open keeps the write-ahead log from starting again.
type reader struct {
	dir, path string
	connect   func() (*sqlite.Conn, error)
	conns     chan *sqlite.Conn // nil ones are opened when they are needed

	calls  sync.RWMutex // held for reading while a call runs
	closed bool
}

func newReader(dir, path string, connect func() (*sqlite.Conn, error)) *reader {
	r := &reader{dir: dir, path: path, connect: connect, conns: make(chan *sqlite.Conn, readerConns)}
	for range readerConns {
		r.conns <- nil
	}
	return r
}

// enter begins a call that Close waits for; leave ends it. Calls do not nest.
func (r *reader) enter() error {
	r.calls.RLock()
	if r.closed {
		r.calls.RUnlock()
		return queue.ErrClosed
	}
	return nil
}

func (r *reader) leave() { r.calls.RUnlock() }

// shut waits for the running calls and lets no others begin. It says whether it was the first to do so.
func (r *reader) shut() bool {
	r.calls.Lock()
	defer r.calls.Unlock()
	first := !r.closed
	r.closed = true
	return first
}

// use runs f with a connection that is f's alone.
func (r *reader) use(ctx context.Context, f func(*sqlite.Conn) error) error {
	var conn *sqlite.Conn
	select {
	case conn = <-r.conns:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { r.conns <- conn }()
	if conn == nil {
		var err error
		if conn, err = r.connect(); err != nil {
			return err
		}
	}
	return describe(r.path, f(conn))
}

// closeConns closes the connections after the last call.
func (r *reader) closeConns() (err error) {
	for range readerConns {
		if conn := <-r.conns; conn != nil {
			if e := conn.Close(); err == nil {
				err = e
			}
		}
	}
	return err
}

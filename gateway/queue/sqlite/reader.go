package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/backup"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/depth"
	"mailhatch/gateway/queue/sqlite/feedback"
	"mailhatch/gateway/queue/sqlite/history"
	"mailhatch/gateway/queue/sqlite/pause"
	"mailhatch/gateway/queue/sqlite/suppress"
	"mailhatch/gateway/queue/veil"
)

// readerConns is how many queries run at once.
const readerConns = 4

// reader answers questions about the rows on connections of its own, by short transactions: one that
// stays open keeps the write-ahead log from starting again.
type reader struct {
	dir, path string
	connect   func() (*sqlite.Conn, error)
	turns     chan struct{} // one for each query that may run
	stay      func() bool   // bodies of messages that have ended can be read

	mu     sync.Mutex
	spare  []*sqlite.Conn // each with a cache of its own: see take
	calls  int            // that run
	closed bool
	idle   chan struct{} // closed when it is closed and no call runs
}

func newReader(dir, path string, connect func() (*sqlite.Conn, error)) *reader {
	return &reader{dir: dir, path: path, connect: connect, turns: make(chan struct{}, readerConns), idle: make(chan struct{})}
}

// enter begins a call that Close waits for; leave ends it. A call that runs may begin others, which fail once the
// store is being closed.
func (r *reader) enter() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return queue.ErrClosed
	}
	r.calls++
	return nil
}

func (r *reader) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls--; r.calls == 0 && r.closed {
		close(r.idle)
	}
}

// shut waits for the running calls and lets no others begin. It reports whether it was the first to do so.
func (r *reader) shut() bool {
	r.mu.Lock()
	first := !r.closed
	if r.closed = true; first && r.calls == 0 {
		close(r.idle)
	}
	r.mu.Unlock()
	<-r.idle
	return first
}

// use runs f with a connection that is f's alone.
func (r *reader) use(ctx context.Context, f func(*sqlite.Conn) error) error {
	select {
	case r.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.turns }()
	conn, err := r.take()
	if err != nil {
		return err
	}
	defer r.giveBack(conn)
	return database.Describe(r.path, f(conn))
}

// take returns the spare connection that was used last, whose cache is warm, or a new one.
func (r *reader) take() (conn *sqlite.Conn, err error) {
	r.mu.Lock()
	if n := len(r.spare); n > 0 {
		conn, r.spare = r.spare[n-1], r.spare[:n-1]
	}
	r.mu.Unlock()
	if conn == nil {
		conn, err = r.connect()
	}
	return conn, err
}

func (r *reader) giveBack(conn *sqlite.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spare = append(r.spare, conn)
}

// ask is use as a call of its own.
func (r *reader) ask(ctx context.Context, f func(*sqlite.Conn) error) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	return r.use(ctx, f)
}

// closeConns closes the connections after the last call.
func (r *reader) closeConns() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.spare {
		if e := conn.Close(); err == nil {
			err = e
		}
	}
	r.spare = nil
	return err
}

// readOnly looks at a queue without changing it.
type readOnly struct {
	*reader
	*history.Keeper
	pause.Board
	*suppress.Register
	version int64 // of the tables, which nobody brings up to date here
}

// OpenReadOnly opens the queue in a state directory for reading. It takes no lock and needs no right
// to write there. The error wraps os.ErrNotExist where there is no queue.
func OpenReadOnly(ctx context.Context, o queue.Settings) (queue.Reader, error) {
	path := filepath.Join(o.Dir, databaseName)
	exists, err := database.Check(path)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if !exists {
		return nil, fmt.Errorf("queue: %s: %w", path, os.ErrNotExist)
	}
	r := readOnly{reader: newReader(o.Dir, path, func() (*sqlite.Conn, error) { return database.OpenReadOnly(path) })}
	r.stay = func() bool { return true }
	hide := veil.New(o.Dir)
	r.Keeper, r.Board = history.New(history.Access{Dir: o.Dir, Veil: hide, Read: r.ask}), pause.Board{Read: r.ask}
	r.Register = suppress.NewRegister(suppress.Access{Read: r.ask, Veil: hide, Now: time.Now})
	// The first query shows whether the file can be read at all.
	if err := r.use(ctx, func(conn *sqlite.Conn) (err error) {
		r.version, err = database.Version(conn)
		return err
	}); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return r, nil
}

// Suppressions implements queue.Reader.
func (r readOnly) Suppressions(ctx context.Context, f queue.SuppressionFilter) ([]queue.Suppression, error) {
	if r.version < database.FirstSuppressions {
		return nil, nil
	}
	return r.Register.Suppressions(ctx, f)
}

// LateBounces implements queue.Reader.
func (r readOnly) LateBounces(ctx context.Context, after string, most int) ([]queue.LateBounce, error) {
	if r.version < database.FirstFeedback {
		return nil, nil
	}
	return feedback.Desk{History: r.Keeper}.LateBounces(ctx, after, most)
}

// Stats counts parts by state; it looks at all of them.
func (r readOnly) Stats(ctx context.Context) (map[envelope.State]queue.Depth, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	var counts depth.Counters
	err := r.use(ctx, counts.Read)
	if err != nil {
		return nil, err
	}
	return r.oldest(ctx, counts.States())
}

// Backup implements queue.Reader.
func (r readOnly) Backup(ctx context.Context, dir string) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	return r.use(ctx, func(conn *sqlite.Conn) error { return backup.Write(ctx, conn, databaseName, r.dir, dir) })
}

// Close waits for running calls.
func (r readOnly) Close() error {
	if !r.shut() {
		return queue.ErrClosed
	}
	return r.closeConns()
}

package sqlite

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue/buffer"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/disk"
)

// HoldSnapshot reads the database until release is called.
func (s *Store) HoldSnapshot(t *testing.T) (release func()) {
	t.Helper()
	conn, err := database.Open(s.path, database.ReaderCacheKiB)
	if err != nil {
		t.Fatal(err)
	}
	err = database.Exec(conn, "BEGIN", nil)
	if err == nil {
		_, err = database.Number(conn, "SELECT count(*) FROM parts")
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Dir is the state directory.
func (s *Store) Dir() string { return s.dir }

// SyncData is disk.SyncData for the benchmarks.
func SyncData(f *os.File) error { return disk.SyncData(f) }

// FullError is what the engine returns when the disk is full.
func FullError() error { return sqlite.ResultFull.ToError() }

// onWriter runs a statement on the writer's connection.
func (s *Store) onWriter(query string) error {
	return s.do(context.Background(), &op{run: func(t *tx) error { return database.Exec(t.conn, query, nil) }})
}

// LimitPages makes the database full when it has this many pages.
func (s *Store) LimitPages(n int) error {
	return s.onWriter(fmt.Sprintf("PRAGMA max_page_count = %d", n))
}

// RefuseWrites makes every write fail from now on.
func (s *Store) RefuseWrites() error { return s.onWriter("PRAGMA query_only = 1") }

// BlockWriter keeps the writer busy until release is called.
func (s *Store) BlockWriter() (release func()) {
	started, wait := make(chan struct{}), make(chan struct{})
	over := make(chan error, 1)
	go func() {
		over <- s.do(context.Background(), &op{run: func(*tx) error {
			close(started)
			<-wait
			return nil
		}})
	}()
	<-started
	return func() {
		close(wait)
		<-over
	}
}

// TestOp is an op that adds a record to the history and then returns Err. With Clean it adds none.
type TestOp struct {
	Err   error
	Mail  bool
	Clean bool
}

// RunGroup runs ops in one transaction and says how many records they left.
func (s *Store) RunGroup(t *testing.T, tests []TestOp) (errs []error, kept int) {
	t.Helper()
	count := func() int {
		var n int64
		err := s.use(context.Background(), func(conn *sqlite.Conn) (err error) {
			n, err = database.Number(conn, "SELECT count(*) FROM history")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	before := count()
	release := s.BlockWriter()
	results := make([]chan error, len(tests))
	for i, c := range tests {
		o := &op{mail: c.Mail, bytes: 1, done: make(chan struct{}), run: func(t *tx) error {
			if c.Clean {
				return c.Err
			}
			rec := row.Record{State: row.Sent}
			if err := t.insertRecord(&rec); err != nil {
				return err
			}
			return c.Err
		}}
		results[i] = make(chan error, 1)
		s.ops <- o
		go func() {
			<-o.done
			results[i] <- o.err
		}()
	}
	release()
	for _, r := range results {
		errs = append(errs, <-r)
	}
	return errs, count() - before
}

// Await has the writer take two results while mail comes often, calls next once they are taken, and returns how many
// transactions it took to commit them and what next sent.
func (s *Store) Await(ctx context.Context, t *testing.T, next func(mail func())) (transactions int) {
	t.Helper()
	s.pace.Most = time.Hour
	in := map[*tx]bool{}
	send := func(o *op) {
		o.run = func(t *tx) error { in[t] = true; return nil }
		if err := s.do(context.Background(), o); err != nil {
			t.Error(err)
		}
	}
	var running, sending sync.WaitGroup
	running.Go(func() { s.write(ctx) })
	for range 2 {
		send(&op{mail: true})
	}
	clear(in)
	for range 2 {
		o := &op{result: true}
		sending.Go(func() { send(o) })
		for !o.taken.Load() {
			time.Sleep(time.Millisecond)
		}
	}
	next(func() { send(&op{mail: true}) })
	sending.Wait()
	s.end()
	running.Wait()
	return len(in)
}

// CloseSegment closes the file that bodies are appended to.
func (s *Store) CloseSegment() error {
	seg, _, err := s.segments.Reserve(1)
	if err != nil {
		return err
	}
	s.segments.Release(seg)
	return seg.File.Close()
}

// FailSync is what a draft does whose segment cannot be synced.
func (s *Store) FailSync() error {
	seg, _, err := s.segments.Reserve(1)
	if err != nil {
		return err
	}
	defer s.segments.Release(seg)
	return s.syncSegment(seg)
}

// EngineVersion is SQLITE_VERSION_NUMBER.
func (s *Store) EngineVersion() (n int64, err error) {
	err = s.use(context.Background(), func(conn *sqlite.Conn) error {
		n, err = database.Number(conn, `SELECT CAST(substr(v, 1, instr(v, '.') - 1) AS INTEGER) * 1000000
			+ CAST(substr(v, instr(v, '.') + 1) AS INTEGER) * 1000
			+ CAST(replace(ltrim(substr(v, instr(v, '.') + 1), '0123456789'), '.', '') AS INTEGER)
			FROM (SELECT sqlite_version() AS v)`)
		return err
	})
	return n, err
}

// HotQueries are those of each claim and finish, and of each start.
func HotQueries() []string {
	return []string{dueQuery, fetchQuery, takeQuery, removeQuery, segmentQuery, hastenQuery, aheadQuery}
}

// Plan is how the engine answers a query.
func (s *Store) Plan(query string) (steps []string, err error) {
	err = s.use(context.Background(), func(conn *sqlite.Conn) error {
		return database.Rows(conn, "EXPLAIN QUERY PLAN "+query, nil, func(st *sqlite.Stmt) (bool, error) {
			steps = append(steps, st.ColumnText(3))
			return true, nil
		})
	})
	return steps, err
}

// WatchPlanning returns a function that says how much the engine has planned for commits, claims and
// finishes since it was last asked.
func (s *Store) WatchPlanning() (planned func() int64, err error) {
	var n atomic.Int64
	count := sqlite.AuthorizeFunc(func(a sqlite.Action) sqlite.AuthResult {
		if a.Type() != sqlite.OpPragma { // these are planned each time, and cost next to nothing
			n.Add(1)
		}
		return sqlite.AuthResultOK
	})
	for _, conn := range []*sqlite.Conn{s.writer, s.leases.conn} {
		if err := conn.SetAuthorizer(count); err != nil {
			return nil, err
		}
	}
	return func() int64 { return n.Swap(0) }, nil
}

// DraftMemory is how many bytes all drafts of a store together may hold beyond their first chunk.
func DraftMemory() int64 { return buffer.NewPool().Left() }

// Broken is closed when changes are refused, Err returns why.
func (s *Store) Broken() <-chan struct{} { return s.over }
func (s *Store) Err() error              { return s.err() }

// Fresh is how many messages are remembered for their first claim, and how many bytes that takes.
func (s *Store) Fresh() (messages, bytes int) {
	s.fresh.mu.Lock()
	defer s.fresh.mu.Unlock()
	return len(s.fresh.mail), s.fresh.bytes
}

// Indexed is up to which record there are sheets, Sheets how many columns these have.
func (s *Store) Indexed() int64 { return s.numberOf("SELECT coalesce(max(last), 0) FROM sheets") }
func (s *Store) Sheets() int64  { return s.numberOf("SELECT count(*) FROM sheets") }

func (s *Store) numberOf(query string) (n int64) {
	_ = s.use(context.Background(), func(conn *sqlite.Conn) (err error) {
		n, err = database.Number(conn, query)
		return err
	})
	return n
}

// HoldBodies does what a backup does that runs until end is called.
func (s *Store) HoldBodies() (end func()) { return s.holdBodies() }

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/postgrestest"
)

// traffic is mail that goes through a store while its server has trouble.
type traffic struct {
	t    *testing.T
	s    *Store
	stop chan struct{}
	end  func()
	work sync.WaitGroup

	mu             sync.Mutex
	acked          map[string]bool
	refused, ended int
}

func startTraffic(t *testing.T, s *Store) *traffic {
	f := &traffic{t: t, s: s, stop: make(chan struct{}), acked: map[string]bool{}}
	f.end = sync.OnceFunc(func() { close(f.stop); f.work.Wait() })
	for n := range 4 {
		f.work.Go(func() { f.accept(n) })
	}
	f.work.Go(f.deliver)
	t.Cleanup(f.end)
	return f
}

func (f *traffic) isOver() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

func (f *traffic) accept(n int) {
	for i := 0; !f.isOver(); i++ {
		id, err := commit(f.s, fmt.Sprint(n, i), mail("bob@example.org"))
		f.mu.Lock()
		if err == nil {
			f.acked[id] = true
		} else if f.refused++; !errors.Is(err, queue.ErrAway) {
			f.t.Errorf("Commit: %v", err)
		}
		f.mu.Unlock()
		if err != nil {
			time.Sleep(time.Millisecond) // as a client does
		}
	}
}

func (f *traffic) deliver() {
	for !f.isOver() {
		leases, _ := f.s.Claim(context.Background(), lane, 16, time.Hour)
		for _, l := range leases {
			for err := l.Finish(context.Background(), sent(l)); err != nil && !errors.Is(err, queue.ErrFenced); err = l.Finish(context.Background(), sent(l)) {
				time.Sleep(10 * time.Millisecond)
			}
			f.mu.Lock()
			f.ended++
			f.mu.Unlock()
		}
	}
}

// some waits until more mail was accepted, and some delivered.
func (f *traffic) some(n int) {
	f.t.Helper()
	count := func() (int, int) { f.mu.Lock(); defer f.mu.Unlock(); return len(f.acked), f.ended }
	acked, ended := count()
	await(f.t, "mail to be accepted and delivered", func() bool { a, e := count(); return a >= acked+n && e > ended })
}

// awaitAway waits until the store finds its database away.
func (f *traffic) awaitAway() {
	f.t.Helper()
	await(f.t, "the database to be away", func() bool { _, err := f.s.Stats(f.t.Context()); return errors.Is(err, queue.ErrAway) })
}

// check ends the traffic: what was acknowledged is there once, waiting or sent.
func (f *traffic) check() {
	f.t.Helper()
	f.end()
	ended := map[string]int{}
	list, err := f.s.List(f.t.Context(), queue.Filter{}, queue.Page{})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range list {
		ended[m.ID]++
	}
	records, err := f.s.Search(f.t.Context(), queue.HistoryFilter{})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range records {
		ended[r.ID]++
	}
	for id := range f.acked {
		if ended[id] != 1 {
			f.t.Errorf("%s was acknowledged and is there %d times", id, ended[id])
		}
	}
	for id, n := range ended {
		if n != 1 {
			f.t.Errorf("%s is there %d times", id, n)
		}
	}
	f.t.Logf("%d acknowledged, %d refused, %d sent", len(f.acked), f.refused, len(records))
}

// TestServerStops: what was acknowledged while the server was stopped, killed and its connections ended, once and again and again,
// is there, once.
func TestServerStops(t *testing.T) {
	url := server.Schema(t, t.Name())
	f := startTraffic(t, open(t, queue.Settings{URL: url}))
	f.some(100)
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		server.Terminate(t, url)
	}
	f.some(100)
	server.Restart(t)
	f.some(100)
	server.Kill(t)
	server.Start(t)
	f.some(100)
	f.check()
}

// TestFailover: a standby for which commits wait has all that was acknowledged when the server dies; clients find it by themselves
// once it is promoted, and are away until then.
func TestFailover(t *testing.T) {
	primary := postgrestest.New(postgrestest.Settings{Own: true, Options: []string{"wal_level=replica", "max_wal_senders=4", "hot_standby=on"}})
	t.Cleanup(primary.Close)
	url := primary.Schema(t, t.Name())
	standby := primary.Standby(t)
	await(t, "the standby", func() bool {
		return primary.Row(t, url, "SELECT count(*)::text FROM pg_stat_replication WHERE state = 'streaming'") == "1"
	})
	primary.Set(t, "synchronous_standby_names", "*")
	await(t, "commits to wait for it", func() bool {
		return primary.Row(t, url, "SELECT count(*)::text FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"
	})
	s := open(t, queue.Settings{URL: primary.Both(t, standby, url)})
	f := startTraffic(t, s)
	f.some(100)
	primary.Kill(t)
	f.awaitAway()
	standby.Promote(t)
	f.some(100)
	f.check()
}

// TestDiskFull: a server that finds no room for a message refuses that, and the rest goes on.
func TestDiskFull(t *testing.T) {
	own := postgrestest.New(postgrestest.Settings{Own: true})
	t.Cleanup(own.Close)
	url := own.Schema(t, t.Name())
	s := open(t, queue.Settings{URL: url})
	own.LimitFiles(t, 16<<20+100)
	large := strings.Repeat("0123456789", 400_000)
	var err error
	kept := -1
	for ; kept < 20 && err == nil; kept++ {
		_, err = commit(s, large, mail("bob@example.org"))
	}
	if !errors.Is(err, queue.ErrFull) || kept < 2 {
		t.Fatalf("after %d messages: %v", kept, err)
	}
	small := accept(t, s, "small")
	for _, l := range claim(t, s, 1, time.Hour) {
		if err := l.Finish(t.Context(), sent(l)); err != nil {
			t.Errorf("Finish: %v", err)
		}
	}
	own.LimitFiles(t, 0)
	accept(t, s, large)
	if list, err := s.List(t.Context(), queue.Filter{}, queue.Page{}); err != nil || len(list) != kept+1 || list[kept-1].ID != small {
		t.Errorf("%d messages are there, want %d, %v", len(list), kept+1, err)
	}
}

// TestLogDiskFull: a server that finds no room for its log ends, and has all that was acknowledged when it finds some again.
func TestLogDiskFull(t *testing.T) {
	own := postgrestest.New(postgrestest.Settings{Own: true})
	t.Cleanup(own.Close)
	url := own.Schema(t, t.Name())
	f := startTraffic(t, open(t, queue.Settings{URL: url}))
	f.some(20)
	own.LimitFiles(t, 8<<20+100) // half of a file of the log
	_, err := f.s.pool.Exec(t.Context(), "SELECT pg_logical_emit_message(false, 'test', repeat('x', 17000000))")
	if err == nil {
		t.Fatal("the server finds room for its log")
	}
	own.LimitFiles(t, 0)
	own.Kill(t) // it may have given up, or recover; one that is asked to end while it recovers may never do so
	own.Start(t)
	f.some(20)
	f.check()
}

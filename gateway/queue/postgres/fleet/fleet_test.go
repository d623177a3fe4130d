package fleet

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/postgrestest"
	"mailhatch/gateway/queue/queuetest/fleettest"
)

var server = postgrestest.New(postgrestest.Settings{})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func TestFleet(t *testing.T) {
	fleettest.Run(t, fleettest.Store{Open: func(t *testing.T, store, gateway string, lease time.Duration) queue.Fleet {
		pool, err := pgxpool.New(t.Context(), server.Database(t, store))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		if _, err := pool.Exec(t.Context(), Tables); err != nil {
			t.Fatal(err)
		}
		return New(pool, gateway, lease)
	}})
}

// TestOldRowsGo: what is of no use any more takes no space.
func TestOldRowsGo(t *testing.T) {
	url := server.New(t)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), Tables); err != nil {
		t.Fatal(err)
	}
	old, f := New(pool, "old", time.Minute), New(pool, "a", time.Minute)
	ctx := context.Background()
	if err := old.Beat(ctx, queue.Gateway{}); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Occupy(ctx, "main", 3, 3, 3); err != nil {
		t.Fatal(err)
	}
	if _, _, err := old.Count(ctx, "x", 1, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Lock(ctx, "x", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Take(ctx, "main x.org", 1, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Take(ctx, "main y.org", 1, 100); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, url, "UPDATE fleet_turns SET next = next - interval '2 seconds'")
	server.Exec(t, url, "UPDATE fleet_gateways SET seen = seen - interval '25 hours'")
	for range 2 { // who is gone first, then what it had
		if err := f.Beat(ctx, queue.Gateway{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"fleet_places", "fleet_counts", "fleet_locks"} {
		if n := server.Row(t, url, "SELECT count(*)::text FROM "+table); n != "0" {
			t.Errorf("%s has %s rows", table, n)
		}
	}
	if turns := server.Row(t, url, "SELECT string_agg(name, ', ') FROM fleet_turns"); turns != "main y.org" {
		t.Errorf("turns of %s are kept, want those that have yet to come", turns)
	}
	if list, err := f.Gateways(ctx); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestHear: it listens for as long as it is asked to, also after a connection that could not be made and long silence.
func TestHear(t *testing.T) {
	url := server.New(t)
	f := New(nil, "a", time.Minute)
	f.check = 20 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	conns := make(chan *pgx.Conn, 2)
	go func() {
		defer close(ended)
		failed := false
		f.Hear(ctx, func(ctx context.Context) (*pgx.Conn, error) {
			if !failed {
				failed = true
				return nil, errors.New("away")
			}
			conn, err := pgx.Connect(ctx, url)
			conns <- conn
			return conn, err
		})
	}()
	hear := func() {
		t.Helper()
		select {
		case <-f.Heard():
		case <-time.After(30 * time.Second):
			t.Fatal("nothing was heard")
		}
	}
	hear() // that it listens
	time.Sleep(5 * f.check)
	server.Exec(t, url, "NOTIFY "+database.Pauses)
	hear()
	stop()
	<-ended
	if len(conns) != 1 || !(<-conns).IsClosed() {
		t.Error("it has made another connection, or left one open")
	}
}

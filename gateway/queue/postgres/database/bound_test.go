package database

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"mailhatch/gateway/queue/postgres/postgrestest"
)

// TestHangs: a server that says nothing any more is away after a while, on connections that were there and on new ones; one that
// takes long to change the schema is waited for.
func TestHangs(t *testing.T) {
	p := postgrestest.NewProxy(t, server.Schema(t, t.Name()))
	c, err := config(p.URL + "&connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := pgxpool.ParseConfig(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	const most = 300 * time.Millisecond
	c.ConnConfig.DialFunc = dial(plain.ConnConfig.DialFunc, most)
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := pool.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	own, err := Connect(t.Context(), p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close(context.Background()) //nolint:errcheck // only read
	p.Hang(true)
	began := time.Now()
	for range 2 {
		if _, err := pool.Exec(t.Context(), "SELECT 1"); !IsAway(err) {
			t.Errorf("a server that hangs: %v", err)
		}
	}
	slow := make(chan error, 1)
	go func() { _, err := own.Exec(context.Background(), "SELECT 1"); slow <- err }()
	time.Sleep(time.Until(began.Add(3 * most)))
	p.Hang(false)
	if err := <-slow; err != nil {
		t.Errorf("what takes long: %v", err)
	}
	if _, err := Connect(t.Context(), "postgres://h:port/"); err == nil {
		t.Error("a wrong URL is connected to")
	}
	if _, err := Connect(t.Context(), p.URL+"&synchronous_commit=off"); !errors.Is(err, ErrCommit) {
		t.Errorf("without synchronous commit: %v", err)
	}
}

// TestDeadlines: what was asked for holds where it is earlier.
func TestDeadlines(t *testing.T) {
	a, z := net.Pipe()
	defer z.Close()
	conn, err := dial(func(context.Context, string, string) (net.Conn, error) { return a, nil }, time.Hour)(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read := func() error { _, err := conn.Read(make([]byte, 1)); return err }
	write := func() error { _, err := conn.Write([]byte("x")); return err }
	for _, c := range []struct {
		name string
		set  func(time.Time) error
		do   func() error
	}{{"SetReadDeadline", conn.SetReadDeadline, read}, {"SetWriteDeadline", conn.SetWriteDeadline, write}, {"SetDeadline", conn.SetDeadline, read}, {"SetDeadline", conn.SetDeadline, write}} {
		if err := c.set(time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := c.do(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := c.set(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan error, 1)
	go func() { got <- read() }()
	if _, err := z.Write([]byte("x")); err != nil || <-got != nil {
		t.Error("without a deadline nothing is read")
	}
	failing := errors.New("no")
	if _, err := dial(func(context.Context, string, string) (net.Conn, error) { return nil, failing }, time.Hour)(t.Context(), "", ""); !errors.Is(err, failing) {
		t.Error(err)
	}
}

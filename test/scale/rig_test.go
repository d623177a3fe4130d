package main

import (
	"context"
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway"
	"mailhatch/gateway/config"
	"mailhatch/gateway/queue/postgres/postgrestest"
	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
)

// The server counts statements, and waits for its disk.
var server = postgrestest.New(postgrestest.Settings{Sync: true, Options: []string{"shared_preload_libraries=pg_stat_statements", "pg_stat_statements.max=1000", "max_connections=500"}})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// nowhere is an upstream that takes all mail at once.
type nowhere struct{ taken *atomic.Int64 }

func (n *nowhere) Send(_ context.Context, m *upstream.Mail) []upstream.Outcome {
	n.taken.Add(1)
	out := make([]upstream.Outcome, len(m.To))
	for i := range out {
		out[i].ID = "n-1"
	}
	return out
}

type nowhereSettings struct{ taken *atomic.Int64 }

func (s *nowhereSettings) Open(upstream.Env) (upstream.Upstream, error) {
	return &nowhere{s.taken}, nil
}

// town is some gateways on one database.
type town struct {
	t     testing.TB
	url   string
	addrs []string
	taken atomic.Int64
	stop  func() // ends the gateways
}

func newTown(t testing.TB, gateways int) *town {
	t.Helper()
	w := &town{t: t, url: server.New(t)}
	server.Exec(t, w.url, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
	w.open(gateways, fmt.Sprintf("engine = \"postgres\"\nurl = %q\n", w.url))
	return w
}

// open starts gateways with these settings of [queue].
func (w *town) open(gateways int, queue string) {
	t := w.t
	t.Helper()
	home := t.TempDir() // it goes after the gateways
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	w.stop = func() { stop(); work.Wait() }
	t.Cleanup(w.stop)
	all := append(kinds.Kinds(), upstream.Kind{Name: "nowhere", Doc: "takes all", New: func() upstream.Settings { return &nowhereSettings{&w.taken} }})
	for n := range gateways {
		dir := filepath.Join(home, strconv.Itoa(n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "config.toml")
		text := fmt.Sprintf("hostname = \"g.example.com\"\nstate_dir = %q\n[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n[queue]\n%s"+
			"[upstream.main]\ntype = \"nowhere\"\n[[route]]\nvia = [\"main\"]\n", dir, queue)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file, config.Options{Kinds: all, Version: "1"})
		if err != nil {
			t.Fatal(err)
		}
		g, err := gateway.New(ctx, cfg, gateway.Options{Version: "1", Kinds: all})
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan struct{})
		work.Go(func() {
			if err := g.Run(ctx, func() { close(started) }); err != nil {
				t.Error(err)
			}
		})
		<-started
		w.addrs = append(w.addrs, g.Addrs()[0].String())
	}
}

var message = []byte("From: a@example.com\r\nTo: b@example.org\r\nSubject: a report\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", 62))

// send sends n messages in so many sessions over all gateways, and waits until all were taken.
func (w *town) send(sessions, n int) {
	w.t.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	want := w.taken.Load() + int64(n)
	var work sync.WaitGroup
	for i := range sessions {
		work.Go(func() {
			c, err := smtp.Dial(w.addrs[i%len(w.addrs)])
			if err != nil {
				w.t.Error(err)
				return
			}
			defer c.Close()
			for left.Add(-1) >= 0 {
				if err := one(c); err != nil {
					w.t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	for deadline := time.Now().Add(time.Minute); w.taken.Load() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%d of %d were taken", w.taken.Load(), want)
		}
	}
}

func one(c *smtp.Client) error {
	if err := c.Mail("a@example.com"); err != nil {
		return err
	}
	if err := c.Rcpt("b@example.org"); err != nil {
		return err
	}
	data, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write(message); err != nil {
		return err
	}
	return data.Close()
}

func (w *town) number(query string) float64 {
	w.t.Helper()
	n, err := strconv.ParseFloat(server.Row(w.t, w.url, query), 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// counted is what happened in the database.
type counted struct {
	accept, finish, watch, beside float64 // statements
	mail                          float64 // those that are neither watch nor beside
	wal                           float64 // bytes
}

const (
	countQuery = `SELECT coalesce(sum(calls) FILTER (WHERE query %s), 0)::text FROM pg_stat_statements
		WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query !~ 'pg_stat|pg_current_wal|pg_database|count\(\*\)::text'`
	isWatch   = `~ 'EXISTS \(SELECT FROM suppressions\)'`
	isBeside  = `~ 'fleet_|FROM pauses|INTO sessions|^SELECT \(extract'`
	isAccept  = `~ '^INSERT INTO (messages|bodies|parts)'`
	isFinish  = `~* '^(begin|commit|SELECT k.ord, p.state|DELETE FROM parts|INSERT INTO history|WITH gone AS)'`
	deadQuery = `SELECT sum(n_tup_upd + n_tup_del)::text FROM pg_stat_user_tables WHERE relname IN ('parts', 'messages', 'bodies')`
	walQuery  = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::text"
)

// count returns what happened meanwhile.
func (w *town) count(do func()) (c counted) {
	w.t.Helper()
	server.Exec(w.t, w.url, "SELECT pg_stat_statements_reset()")
	wal := w.number(walQuery)
	do()
	calls := func(which string) float64 { return w.number(fmt.Sprintf(countQuery, which)) }
	c = counted{accept: calls(isAccept), finish: calls(isFinish), watch: calls(isWatch), beside: calls(isBeside), wal: w.number(walQuery) - wal}
	c.mail = calls("IS NOT NULL") - c.watch - c.beside
	return c
}

// settled waits until all mail has ended, and what is looked for after it.
func (w *town) settled() {
	w.t.Helper()
	for w.number("SELECT count(*)::text FROM parts") > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
}

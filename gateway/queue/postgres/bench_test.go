package postgres

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/postgrestest"
)

// The figures of doc/performance.md: `go test -run '^$' -bench . ./gateway/queue/postgres`. The server waits for its disk.
var syncing = postgrestest.New(postgrestest.Settings{Sync: true})

// oneByOne lets a store write each message and each result by itself: the baseline.
func oneByOne(s *Store) { s.mail.Most, s.results.Most = 1, 1 }

func benchStore(b *testing.B, setups ...func(*Store)) *Store {
	b.Helper()
	s, err := Open(context.Background(), queue.Settings{URL: syncing.New(b), Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	for _, setup := range setups {
		setup(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		if err := s.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() {
		cancel()
		work.Wait()
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

var body4k = strings.Repeat("0123456789abcde\r\n", 240)

// sessions accepts n messages in so many sessions at once.
func sessions(b *testing.B, s *Store, sessions, n int) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var work sync.WaitGroup
	for range sessions {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := commit(s, body4k, mail("bob@example.org")); err != nil {
					b.Error(err)
				}
			}
		})
	}
	work.Wait()
}

func BenchmarkAccept(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		for name, setup := range map[string]func(*Store){"batched": func(*Store) {}, "one by one": oneByOne} {
			b.Run(strconv.Itoa(n)+" sessions/"+name, func(b *testing.B) {
				s := benchStore(b, setup)
				b.ResetTimer()
				sessions(b, s, n, b.N)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}

// deliverAll claims and ends what is there until n messages have ended.
func deliverAll(b *testing.B, s *Store, workers, n int) {
	b.Helper()
	var done atomic.Int64
	var work sync.WaitGroup
	jobs := make(chan queue.Lease, workers)
	for range workers {
		work.Go(func() {
			for l := range jobs {
				body, err := l.Body()
				if err == nil {
					_ = body.Close()
					err = l.Finish(context.Background(), sent(l))
				}
				if err != nil {
					b.Error(err)
				}
				done.Add(1)
			}
		})
	}
	for claimed := 0; claimed < n; {
		leases := claim(b, s, workers, time.Minute)
		claimed += len(leases)
		for _, l := range leases {
			jobs <- l
		}
		if len(leases) == 0 {
			select {
			case <-s.Changed():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	close(jobs)
	work.Wait()
}

// BenchmarkLife accepts, claims and ends, all at once.
func BenchmarkLife(b *testing.B) {
	for name, setup := range map[string]func(*Store){"batched": func(*Store) {}, "one by one": oneByOne} {
		b.Run(name, func(b *testing.B) {
			s := benchStore(b, setup)
			b.ResetTimer()
			var work sync.WaitGroup
			work.Go(func() { sessions(b, s, 64, b.N) })
			deliverAll(b, s, 64, b.N)
			work.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkLong passes many messages through, and reports the rate of each tenth and the size of the tables afterwards. With
// MAILHATCH_SNAPSHOT a transaction keeps its snapshot from the first message to the last.
func BenchmarkLong(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("MAILHATCH_MESSAGES"))
	if err != nil {
		b.Skip("MAILHATCH_MESSAGES says how many")
	}
	s := benchStore(b)
	if os.Getenv("MAILHATCH_SNAPSHOT") != "" {
		defer holdSnapshot(b, s)()
	}
	for i := range 10 {
		began, used, server := time.Now(), cpu(), syncing.CPU()
		var work sync.WaitGroup
		work.Go(func() { sessions(b, s, 64, n/10) })
		deliverAll(b, s, 64, n/10)
		work.Wait()
		var parts, bodies, wal int64
		err := s.pool.QueryRow(context.Background(), `SELECT pg_total_relation_size('parts'), pg_total_relation_size('messages') + pg_total_relation_size('bodies'),
			pg_current_wal_lsn() - '0/0'::pg_lsn`).Scan(&parts, &bodies, &wal)
		if err != nil {
			b.Fatal(err)
		}
		each := func(d time.Duration) time.Duration { return (d / time.Duration(n/10)).Round(time.Microsecond) }
		b.Logf("%7d messages: %6.0f/s, CPU of a message %v here and %v at the server; parts %4d MB, messages and bodies %5d MB, WAL %6d MB", (i+1)*n/10,
			float64(n/10)/time.Since(began).Seconds(), each(cpu()-used), each(syncing.CPU()-server), parts>>20, bodies>>20, wal>>20)
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	sample := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	runtime.GC() // the figures are brought up to date then
	metrics.Read(sample)
	return time.Duration((sample[0].Value.Float64() - sample[1].Value.Float64()) * float64(time.Second))
}

// holdSnapshot opens a transaction that sees the database as it is now until its end.
func holdSnapshot(t testing.TB, s *Store) (end func()) {
	t.Helper()
	tx, err := s.pool.BeginTx(context.Background(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err == nil {
		_, err = tx.Exec(context.Background(), "SET LOCAL idle_in_transaction_session_timeout = 0")
	}
	if err == nil {
		_, err = tx.Exec(context.Background(), "SELECT count(*) FROM parts")
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback(context.Background()) }
}

package postgres

import (
	"context"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

// through passes n messages through a store.
func through(t testing.TB, s *Store, n int) {
	t.Helper()
	var work sync.WaitGroup
	for i := range 16 {
		work.Go(func() {
			for range n/16 + min(1, max(0, n%16-i)) {
				if _, err := commit(s, "x", mail("bob@example.org")); err != nil {
					t.Errorf("Commit: %v", err)
				}
			}
		})
	}
	for ended := 0; ended < n && !t.Failed(); {
		for _, l := range claim(t, s, 64, time.Minute) {
			ended++
			work.Go(func() {
				if err := l.Finish(context.Background(), sent(l)); err != nil {
					t.Errorf("Finish: %v", err)
				}
			})
		}
	}
	work.Wait()
}

// TestSnapshot: while somebody holds a snapshot, rows that are gone stay. Mail passes all the same: what it costs the server grows
// by less than two thirds, and the tables by what passes through.
func TestSnapshot(t *testing.T) {
	const n = 3000
	s := open(t, queue.Settings{URL: server.New(t)})
	through(t, s, n) // the caches are filled
	cost := func() time.Duration {
		before := server.CPU()
		through(t, s, n)
		return server.CPU() - before
	}
	free := cost()
	end := holdSnapshot(t, s)
	defer end()
	var size int64
	held := min(cost(), cost())
	if err := s.pool.QueryRow(t.Context(), "SELECT pg_total_relation_size('parts')").Scan(&size); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v of the server's CPU without, %v with a snapshot; parts has %d kB", free, held, size>>10)
	if held > free*5/3+100*time.Millisecond {
		t.Errorf("a snapshot makes %v of %v", held, free)
	}
	if most := int64(5 * n * 1000); size > most {
		t.Errorf("parts has %d bytes, want at most %d", size, most)
	}
	h, err := s.Health(t.Context())
	if err != nil || h.Database == nil || h.Database.Claim == 0 || len(h.Database.Tables) != 3 || len(h.Notes) != 1 { // this server has fsync off
		t.Errorf("health: %+v, %+v, %v", h, h.Database, err)
	}
}

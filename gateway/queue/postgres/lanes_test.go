package postgres

import (
	"strconv"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

// TestWatchRest: the more processes share a database, the less often each asks; together they do so at most 500 times a second.
func TestWatchRest(t *testing.T) {
	s := open(t, queue.Settings{URL: server.Schema(t, t.Name())})
	for processes, want := range map[int]time.Duration{1: 100, 50: 100, 51: 102, 300: 600, 1000: 2000, 5000: 2000} {
		want *= time.Millisecond
		if processes <= 1000 { // the most that have a slot
			server.Exec(t, server.Schema(t, t.Name()), `INSERT INTO sessions (session, gateway, slot, seen) SELECT n, 'other', n, 1e15
				FROM generate_series(1, `+strconv.Itoa(processes-1)+`) n ON CONFLICT DO NOTHING`)
			server.Exec(t, server.Schema(t, t.Name()), "DELETE FROM sessions WHERE gateway = 'other' AND slot >= "+strconv.Itoa(processes))
			if err := s.Serve(t.Context(), []string{lane}); err != nil {
				t.Fatal(err)
			}
		} else {
			s.lanes.share(processes)
		}
		for range 20 {
			if got := s.lanes.rest(); got > want || got < want*7/8 {
				t.Errorf("%d processes: each rests for %v, want %v or a little less", processes, got, want)
			}
		}
	}
}

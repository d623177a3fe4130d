package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailhatch/gateway/queue"
)

func TestSlowest(t *testing.T) {
	at := time.Unix(6000, 0)
	var s Slowest
	s.Add(at, time.Second)
	s.Add(at, time.Millisecond)
	for after, want := range map[time.Duration]time.Duration{0: time.Second, time.Minute: time.Second, 2 * time.Minute: 0} {
		now := s.took
		minute := s.minute
		if got := s.Of(at.Add(after)); got != want {
			t.Errorf("%v later: %v, want %v", after, got, want)
		}
		s.took, s.minute = now, minute
	}
}

// TestSlow: what slows a database down is said in words.
func TestSlow(t *testing.T) {
	healthy := queue.DatabaseHealth{Snapshot: 9 * time.Minute, Claim: 900 * time.Millisecond,
		Tables: []queue.TableHealth{{Name: "bodies", Dead: 150_000}, {Name: "parts", Dead: 900_000, Live: 500_000}}}
	if list := slow(&healthy); len(list) > 0 {
		t.Errorf("a healthy one: %q", list)
	}
	for want, change := range map[string]func(d *queue.DatabaseHealth){
		"a transaction has been open in the database for 11m0s": func(d *queue.DatabaseHealth) { d.Snapshot = 11 * time.Minute },
		"the table bodies has 250000 dead rows beside 0":        func(d *queue.DatabaseHealth) { d.Tables = []queue.TableHealth{{Name: "bodies", Dead: 250_000}} },
		"the database took 1.5s to hand out mail":               func(d *queue.DatabaseHealth) { d.Claim = 1500 * time.Millisecond },
	} {
		d := healthy
		change(&d)
		if list := slow(&d); len(list) != 1 || !strings.HasPrefix(list[0], want) {
			t.Errorf("%q, want %q", list, want)
		}
	}
}

// server is a database with so many rows in each table.
type server struct {
	dead, live int64
	err        error
	vacuumed   []string
}

func (s *server) QueryRow(context.Context, string, ...any) pgx.Row { return s }

func (s *server) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, s.err }

func (s *server) Scan(dest ...any) error {
	*dest[0].(*int64), *dest[1].(*int64) = s.dead, s.live
	return nil
}

func (s *server) Exec(_ context.Context, sql string, _ ...any) (pgconn.CommandTag, error) {
	s.vacuumed = append(s.vacuumed, sql)
	return pgconn.CommandTag{}, s.err
}

// TestVacuum: a table is vacuumed when many of its rows are dead, and not again soon after that has failed.
func TestVacuum(t *testing.T) {
	for _, c := range []struct {
		name string
		server
		want int // in 48 seconds
	}{
		{"few are dead", server{dead: 20_000}, 0},
		{"many are dead", server{dead: 20_001}, 7},
		{"few of many", server{dead: 30_000, live: 1_000_000}, 0},
		{"it fails", server{dead: 30_000, err: errors.New("statement timeout")}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 48*time.Second)
				defer cancel()
				(&vacuum{"bodies", 20_000}).repeat(ctx, &c.server, slog.New(slog.DiscardHandler))
				if len(c.vacuumed) != c.want {
					t.Errorf("%q, want %d", c.vacuumed, c.want)
				}
			})
		})
	}
}

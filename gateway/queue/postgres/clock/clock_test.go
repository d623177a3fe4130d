package clock

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/postgrestest"
)

var server = postgrestest.New(postgrestest.Settings{})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// TestLearn: the database's clock may be ahead or behind; what the question took is no difference.
func TestLearn(t *testing.T) {
	before := time.UnixMilli(1_000_000)
	for _, c := range []struct{ at, ahead int64 }{
		{1_000_000, 0}, {1_000_080, 0}, {1_000_200, 100}, {1_000_100 + same, 0}, {1_060_100, 60_000}, {940_000, -60_000}, {1_000_000 - same, 0},
	} {
		var k Clock
		k.learn(before, before.Add(100*time.Millisecond), c.at)
		if k.Ahead() != c.ahead || k.To(5) != 5+c.ahead || k.From(5+c.ahead).UnixMilli() != 5 {
			t.Errorf("at %d: %d ahead, want %d", c.at, k.Ahead(), c.ahead)
		}
	}
}

// TestSlots: each process has the lowest that is free; of those that are gone they are free again, and there is an end to them.
func TestSlots(t *testing.T) {
	url := server.Schema(t, t.Name())
	server.Exec(t, url, "CREATE TABLE sessions (session text PRIMARY KEY, gateway text, slot int, seen bigint)")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // all is done
	take := func(session string) (slot int, err error) {
		err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) (err error) {
			slot, err = TakeSlot(t.Context(), tx, session, "g", time.Hour)
			return err
		})
		return slot, err
	}
	for _, c := range []struct {
		session string
		slot    int
	}{{"a", 0}, {"b", 1}, {"a", 0}, {"c", 2}} { // a asks once more
		if slot, err := take(c.session); err != nil || slot != c.slot {
			t.Errorf("%s: slot %d, want %d, %v", c.session, slot, c.slot, err)
		}
	}
	server.Exec(t, url, "UPDATE sessions SET seen = 0 WHERE session = 'b'")
	if slot, err := take("d"); err != nil || slot != 1 {
		t.Errorf("after one has gone: slot %d, %v", slot, err)
	}
	server.Exec(t, url, "INSERT INTO sessions SELECT 's' || n, 'g', n, 9000000000000000 FROM generate_series(3, 1023) n")
	if _, err := take("e"); err == nil || !strings.Contains(err.Error(), "the limit") {
		t.Errorf("of too many: %v", err)
	}
	server.Exec(t, url, "DROP TABLE sessions")
	if _, err := take("f"); err == nil {
		t.Error("without a table")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var k Clock
	if err := k.Ask(ctx, conn, time.Now); !errors.Is(err, context.Canceled) {
		t.Errorf("Ask: %v", err)
	}
}

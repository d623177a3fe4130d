package census

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"mailhatch/gateway/queue/postgres/postgrestest"
)

var server = postgrestest.New(postgrestest.Settings{})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// slow answers late.
type slow struct {
	DB
	by time.Duration
}

func (s slow) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	time.Sleep(s.by)
	return s.DB.Query(ctx, sql, args...)
}

// TestCostly: counts that cost much are not taken each time, nor are looks; until a new one fails, an old one stands.
func TestCostly(t *testing.T) {
	url := server.Schema(t, t.Name())
	server.Exec(t, url, `CREATE TABLE parts (state int, lane text, size bigint, message bigint, n bigint, next_at bigint, lease_until bigint);
		INSERT INTO parts VALUES (0, 'a', 10, 1, 1, 1, 0), (0, 'a', 10, 2, 1, 2, 0), (0, 'b', 10, 3, 1, 5, 9000000000000000), (1, 'a', 10, 4, 1, 1, 0)`)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var c Census
	db := slow{pool, 2 * free}
	groups, fresh, err := c.Count(t.Context(), db)
	if err != nil || !fresh || len(groups) != 3 {
		t.Fatalf("%+v, %v, %v", groups, fresh, err)
	}
	next, err := c.Next(t.Context(), db)
	if err != nil || len(next) != 2 || next[0].Lane != "a" || *next[0].At != 1 || next[1].At != nil {
		t.Fatalf("%+v, %v", next, err)
	}
	server.Exec(t, url, "DELETE FROM parts")
	c.until, c.looked = time.Now().Add(time.Hour), time.Now().Add(time.Hour) // however slow the machine is
	if groups, fresh, err := c.Count(t.Context(), db); err != nil || fresh || len(groups) != 3 {
		t.Errorf("again: %+v, %v, %v", groups, fresh, err)
	}
	if next, err := c.Next(t.Context(), db); err != nil || len(next) != 2 {
		t.Errorf("again: %+v, %v", next, err)
	}
	c.until, c.looked = time.Time{}, time.Time{}
	server.Exec(t, url, "DROP TABLE parts")
	_, _, countErr := c.Count(t.Context(), db)
	_, nextErr := c.Next(t.Context(), db)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, endedErr := c.Count(ctx, db)
	_, lateErr := c.Next(ctx, db)
	if countErr == nil || nextErr == nil || !errors.Is(endedErr, context.Canceled) || !errors.Is(lateErr, context.Canceled) {
		t.Errorf("%v, %v, %v, %v", countErr, nextErr, endedErr, lateErr)
	}
}

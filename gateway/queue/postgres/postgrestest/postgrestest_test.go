package postgrestest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/postgrestest"
)

var server = postgrestest.New(postgrestest.Settings{Options: []string{"work_mem=1MB"}})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// What was committed outlives each kind of end, and each test has a database of its own.
func TestServer(t *testing.T) {
	u := server.New(t)
	server.Exec(t, u, "CREATE TABLE t (a int)")
	want := "0"
	for _, end := range []struct {
		name string
		do   func()
	}{
		{"nothing", func() {}},
		{"Restart", func() { server.Restart(t) }},
		{"Kill", func() { server.Kill(t); server.Start(t) }},
	} {
		if got := server.Row(t, u, "SELECT count(*)::text FROM t"); got != want {
			t.Errorf("after %s: %s rows, want %s", end.name, got, want)
		}
		server.Exec(t, u, "INSERT INTO t VALUES (1)")
		want = server.Row(t, u, "SELECT count(*)::text FROM t")
		end.do()
	}
	if got := server.Row(t, u, "SHOW work_mem"); got != "1MB" {
		t.Errorf("work_mem is %s", got)
	}
	x := server.Database(t, "x")
	if server.New(t) == u || server.Database(t, "x") != x || server.Database(t, "y") == x {
		t.Error("databases are shared, or are not")
	}
}

func TestSchema(t *testing.T) {
	a, b := server.Schema(t, "a"), server.Schema(t, "b")
	server.Exec(t, a, "CREATE TABLE t (a int)")
	server.Exec(t, b, "CREATE TABLE t (a int)")
	if server.Schema(t, "a") != a || server.Row(t, a, "SELECT current_database()") != server.Row(t, b, "SELECT current_database()") {
		t.Error("a schema has no place of its own in the one database")
	}
}

func TestTerminate(t *testing.T) {
	u, ctx := server.New(t), context.Background()
	conn, err := pgx.Connect(ctx, u)
	if err != nil {
		t.Fatal(err)
	}
	server.Terminate(t, u)
	if _, err := conn.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("the connection is still there")
	}
}

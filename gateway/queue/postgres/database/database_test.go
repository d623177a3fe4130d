package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/postgrestest"
)

var server = postgrestest.New(postgrestest.Settings{})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// TestMigrate: a program changes older schemas, works beside the next one, and refuses what it cannot know.
func TestMigrate(t *testing.T) {
	change := func(n, least int) step {
		return step{number: n, text: fmt.Sprintf("CREATE TABLE t%d (a int)", n), least: least}
	}
	list := []step{change(1, 1), change(2, 1), change(3, 3)}
	url := server.Schema(t, t.TempDir())
	for _, c := range []struct {
		name    string
		program []step
		version int
		refused bool
	}{
		{"a new database", list[:1], 1, false},
		{"as it is", list[:1], 1, false},
		{"a newer program", list[:2], 2, false},
		{"the older program beside it", list[:1], 2, false},
		{"a program that the others do not suit", list, 3, false},
		{"the older program again", list[:2], 3, true},
		{"the oldest", list[:1], 3, true},
	} {
		s, err := migrate(t.Context(), connect(t, url), c.program)
		if s.Version != c.version || errors.Is(err, ErrSchema) != c.refused || err != nil && !c.refused {
			t.Errorf("%s: version %d, %v", c.name, s.Version, err)
		}
	}
}

// TestMigrateTogether: whoever comes first makes a change, and the others wait for it.
func TestMigrateTogether(t *testing.T) {
	url := server.Schema(t, t.TempDir())
	var all sync.WaitGroup
	for range 6 {
		conn := connect(t, url)
		all.Go(func() {
			if s, err := Migrate(t.Context(), conn, ""); err != nil || s.Version != s.Own {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
	all.Wait()
	list, err := steps(exceptions())
	if err != nil {
		t.Fatal(err)
	}
	if n := server.Row(t, url, "SELECT count(*)::text FROM schema_version"); n != fmt.Sprint(len(list)) {
		t.Errorf("%s changes were made, want %d", n, len(list))
	}
}

// TestMigrateWithoutRights: who may not change the schema works with the version before, and no older one.
func TestMigrateWithoutRights(t *testing.T) {
	url := server.New(t)
	list := []step{{1, "CREATE TABLE a (a int)", 1}, {2, "CREATE TABLE b (a int)", 1}, {3, "CREATE TABLE c (a int)", 2}}
	if _, err := migrate(t.Context(), connect(t, url), list[:1]); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, url, "DROP ROLE IF EXISTS app; CREATE ROLE app LOGIN; REVOKE CREATE ON SCHEMA public FROM public; GRANT SELECT ON schema_version TO app")
	app := connect(t, strings.Replace(url, "user=postgres", "user=app", 1))
	if s, err := migrate(t.Context(), app, list[:2]); err != nil || s.Version != 1 || s.Own != 2 {
		t.Errorf("one version behind: %+v, %v", s, err)
	}
	if _, err := migrate(t.Context(), app, list); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "mailhatch migrate") {
		t.Errorf("two versions behind: %v", err)
	}
	server.Exec(t, url, "REVOKE SELECT ON schema_version FROM app; DROP ROLE app")
}

// TestCommit: a server that would acknowledge what it may lose is not used.
func TestCommit(t *testing.T) {
	for setting, refused := range map[string]bool{"on": false, "remote_apply": false, "off": true, "local": true} {
		pool, err := Open(t.Context(), server.Schema(t, "x")+"&synchronous_commit="+setting)
		if err != nil {
			t.Fatal(err)
		}
		if err := pool.Ping(t.Context()); errors.Is(err, ErrCommit) != refused || err != nil && !refused {
			t.Errorf("%s: %v", setting, err)
		}
		pool.Close()
	}
	if _, err := Open(t.Context(), "postgres://u:secret@h:port/"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an invalid URL: %v", err)
	}
}

func TestErrors(t *testing.T) {
	pg := func(code, severity string) error { return &pgconn.PgError{Code: code, Severity: severity} }
	for _, c := range []struct {
		err     error
		is      error // nil: none of the queue's
		unknown bool
	}{
		{nil, nil, false},
		{pg("23505", "ERROR"), nil, false},
		{pg(diskFull, "ERROR"), queue.ErrFull, false},
		{pg("57P01", "FATAL"), queue.ErrAway, true},
		{pg("53300", "FATAL"), queue.ErrAway, true},
		{pg(readOnly, "ERROR"), queue.ErrAway, false},
		{io.ErrUnexpectedEOF, queue.ErrAway, true},
		{fmt.Errorf("x: %w", pgconn.ErrConnClosed), queue.ErrAway, true},
		{&pgconn.ConnectError{}, queue.ErrAway, false},
		{errors.New("odd"), nil, true},
	} {
		got := Describe(c.err)
		for _, is := range []error{queue.ErrFull, queue.ErrAway} {
			if errors.Is(got, is) != (is == c.is) {
				t.Errorf("%v is described as %v", c.err, got)
			}
		}
		if err := asked(c.err); IsUnknown(err) != c.unknown {
			t.Errorf("%v: whether it was committed is unknown: %v", c.err, IsUnknown(err))
		}
	}
	for _, err := range []error{queue.ErrFenced, queue.ErrNotFound, queue.ErrClosed, queue.ErrAway} {
		if Describe(err) != err {
			t.Errorf("%v is described", err)
		}
	}
	if Text("a\x00b\xff") != "a\uFFFDb\uFFFD" || Text("ü") != "ü" {
		t.Error("a text is not made one that PostgreSQL takes")
	}
}

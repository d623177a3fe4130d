// Package postgrestest runs a real PostgreSQL server for tests: one for a test binary, in a temporary folder, on a unix
// socket alone, with a database for each test. Where no PostgreSQL is installed, tests are skipped.
//
// A package has one server and stops it at its end:
//
//	var server = postgrestest.New(postgrestest.Settings{})
//
//	func TestMain(m *testing.M) { os.Exit(server.Main(m)) }
package postgrestest

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long a server may take to start or to stop, however busy the machine is.
const patience = 2 * time.Minute

// shared is the environment variable by which processes that a test starts find its server.
const shared = "POSTGRESTEST_FOLDER"

// Settings say how a server runs.
type Settings struct {
	// Sync makes the server wait for the disk: benchmarks mean something only then. Without, what it has committed
	// outlives the end of each process, its own too, but not that of the machine.
	Sync bool
	// Options are further settings of the server, such as "max_connections=20".
	Options []string
	// Own makes a server beside that of the test binary, which other processes do not find. Who has it closes it.
	Own bool
}

// Server is a PostgreSQL server that starts when the first test asks for a database.
type Server struct {
	settings Settings

	mu       sync.Mutex
	folder   string // has the socket and the data; "": not prepared yet
	mine     bool   // this process has made the folder
	programs string // the folder that has them
	missing  string // why there is no server
	running  *process
}

// New returns a server that does not run yet. A process that was started by a test with a server uses that one.
func New(s Settings) *Server {
	if s.Own {
		return &Server{settings: s}
	}
	return &Server{settings: s, folder: os.Getenv(shared)}
}

// Main runs the tests of a package and stops the server after them.
func (s *Server) Main(m *testing.M) int {
	defer s.Close()
	return m.Run()
}

// Close stops a server of Settings.Own.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mine {
		return
	}
	if s.running != nil {
		s.running.stop("INT")
	}
	_ = os.RemoveAll(s.folder)
}

// Database returns the URL of the database of that name, which is made if it is missing: for one that lives as long as
// the server. Names may hold anything.
func (s *Server) Database(t testing.TB, name string) string {
	t.Helper()
	s.ready(t)
	database := "test_" + hash(name)
	if s.Row(t, s.url("postgres"), "SELECT count(*)::text FROM pg_database WHERE datname = '"+database+"'") == "0" {
		s.Exec(t, s.url("postgres"), "CREATE DATABASE "+database)
	}
	return s.url(database)
}

// Schema returns the URL of a database in which unqualified names are those of a schema of that name, which is made if it is
// missing. It costs a tenth of a database.
func (s *Server) Schema(t testing.TB, name string) string {
	t.Helper()
	u := s.Database(t, "schemas")
	schema := "s" + hash(name)
	s.Exec(t, u, "CREATE SCHEMA IF NOT EXISTS "+schema)
	return u + "&search_path=" + schema
}

func hash(name string) string {
	h := fnv.New64a()
	h.Write([]byte(name))
	return fmt.Sprintf("%x", h.Sum64())
}

// New returns the URL of a new database, which is dropped at the end of the test.
func (s *Server) New(t testing.TB) string {
	t.Helper()
	s.ready(t)
	u := s.Database(t, t.Name()+time.Now().String())
	t.Cleanup(func() {
		if s.isRunning() {
			s.Exec(t, s.url("postgres"), "DROP DATABASE IF EXISTS "+databaseOf(u)+" WITH (FORCE)")
		}
	})
	return u
}

func databaseOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}

// Set changes a setting of the running server.
func (s *Server) Set(t testing.TB, name, value string) {
	t.Helper()
	s.Exec(t, s.url("postgres"), "ALTER SYSTEM SET "+name+" = '"+value+"'")
	s.Exec(t, s.url("postgres"), "SELECT pg_reload_conf()")
}

func (s *Server) url(database string) string {
	return "postgres:///" + database + "?" + url.Values{"host": {s.folder}, "user": {"postgres"}}.Encode()
}

// Exec runs statements in a database.
func (s *Server) Exec(t testing.TB, url, statements string) {
	t.Helper()
	s.with(t, url, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statements)
		return err
	})
}

// Row returns the one text that a query answers.
func (s *Server) Row(t testing.TB, url, query string) (text string) {
	t.Helper()
	s.with(t, url, func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, query).Scan(&text) })
	return text
}

func (s *Server) with(t testing.TB, url string, do func(context.Context, *pgx.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err == nil {
		err = do(ctx, conn)
		_ = conn.Close(ctx)
	}
	if err != nil {
		t.Fatalf("postgres: %v", err)
	}
}

// Terminate ends all connections to a database.
func (s *Server) Terminate(t testing.TB, url string) {
	t.Helper()
	s.Exec(t, s.url("postgres"), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+databaseOf(url)+"'")
}

// Stop stops the server as an operator does, Kill as a power cut would; Start starts it again on the same data.
func (s *Server) Stop(t testing.TB) { t.Helper(); s.end(t, "INT") }

// Kill ends the server without any warning.
func (s *Server) Kill(t testing.TB) { t.Helper(); s.end(t, "KILL") }

// Restart is Stop and Start.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}

// Start starts a server that was stopped.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.ready(t)
}

func (s *Server) end(t testing.TB, signal string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		t.Fatal("postgres: this process has not started the server")
	}
	s.running.stop(signal)
	s.running = nil
}

func (s *Server) isRunning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running != nil
}

// ready makes sure that the server runs, or skips the test where there is none.
func (s *Server) ready(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folder != "" && (!s.mine || s.running != nil) {
		return
	}
	if s.missing == "" {
		if s.programs, s.missing = find(); s.missing != "" {
			t.Skip(s.missing)
		}
	}
	if err := s.launch(); err != nil {
		t.Fatalf("postgres: %v", err)
	}
}

// launch prepares the folder, if that was not done yet, and starts the server.
func (s *Server) launch() (err error) {
	if s.folder == "" {
		if s.folder, err = prepare(s.programs); err != nil {
			return err
		}
		s.mine = true
		if !s.settings.Own {
			_ = os.Setenv(shared, s.folder) // for the processes that tests start
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if s.running == nil || s.running.ended() { // the processes of one that was killed take a moment to see it
			if s.running, err = start(s.programs, s.folder, s.settings); err != nil {
				return err
			}
		}
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil || s.running.ended() && !s.running.mayStartLater() {
			return fmt.Errorf("the server does not start: %w\n%s", err, s.running.log())
		}
		time.Sleep(10 * time.Millisecond) // nothing says when it is ready
	}
}

// Standby returns a server that follows this one as a streaming standby, until the end of the test. This one needs the
// options "wal_level=replica" and "max_wal_senders=4".
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	s.ready(t)
	folder, err := s.clone()
	if err != nil {
		t.Fatalf("postgres: %v", err)
	}
	standby := &Server{settings: s.settings, folder: folder, mine: true, programs: s.programs}
	t.Cleanup(standby.Close)
	standby.ready(t)
	return standby
}

// Promote makes a standby a server of its own.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if s.Row(t, s.url("postgres"), "SELECT pg_promote()::text") != "true" {
		t.Fatal("postgres: the standby was not promoted")
	}
}

// Both returns the URL of a database for clients that look for the one of two servers that takes changes.
func (s *Server) Both(t testing.TB, other *Server, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("host", s.folder+","+other.folder)
	q.Set("target_session_attrs", "read-write")
	u.RawQuery = q.Encode()
	return u.String()
}

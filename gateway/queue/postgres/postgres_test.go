package postgres

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/postgrestest"
	"mailhatch/gateway/queue/queuetest"
	"mailhatch/gateway/queue/queuetest/feedbacktest"
	"mailhatch/gateway/queue/queuetest/historytest"
)

var server = postgrestest.New(postgrestest.Settings{})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// engine is that under test: each directory of the suite stands for a database. A folder of the test's own would stay behind where
// the suite kills the process.
func engine() queuetest.Engine { return engineKeeping(queue.KeepBodies{}) }

func engineKeeping(bodies queue.KeepBodies) queuetest.Engine {
	return queuetest.Engine{NoBackup: true, Open: func(t *testing.T, dir string) queue.Engine {
		t.Helper()
		s, err := Open(context.Background(), queue.Settings{URL: server.Schema(t, dir), Dir: dir, Gateway: "test", Lease: time.Minute, Bodies: bodies})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}}
}

func TestConformance(t *testing.T) { queuetest.Run(t, engine()) }

func TestHistory(t *testing.T) { historytest.Run(t, engine()) }

func TestKeepsFromTheStart(t *testing.T) {
	historytest.KeepsFromTheStart(t, engineKeeping(queue.KeepBodies{For: time.Hour}), engine())
}

func TestFeedback(t *testing.T) { feedbacktest.Run(t, engine()) }

func TestCrash(t *testing.T) {
	server.Schema(t, t.Name()) // else the process that is killed would have started a server of its own
	queuetest.Crash(t, engine())
}

// TestMigrate: by hand, and again when all is there.
func TestMigrate(t *testing.T) {
	o := queue.Settings{URL: server.Schema(t, t.Name()), Dir: t.TempDir()}
	if _, err := OpenReadOnly(t.Context(), o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a database without a queue: %v", err)
	}
	before, now, err := Migrate(t.Context(), o)
	if before != 0 || now < 1 || err != nil {
		t.Errorf("from %d to %d, %v", before, now, err)
	}
	if again, then, err := Migrate(t.Context(), o); again != now || then != now || err != nil {
		t.Errorf("from %d to %d, %v", again, then, err)
	}
}

// TestReadOnly: who only looks changes nothing, also beside gateways.
func TestReadOnly(t *testing.T) {
	s := open(t, queue.Settings{URL: server.Schema(t, t.Name())})
	id := accept(t, s, "x")
	r, err := OpenReadOnly(t.Context(), queue.Settings{URL: server.Schema(t, t.Name()), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.List(t.Context(), queue.Filter{}, queue.Page{})
	if err != nil || len(list) != 1 || list[0].ID != id {
		t.Errorf("%v, %v", list, err)
	}
	if err := errors.Join(r.Close()); err != nil {
		t.Error(err)
	}
	if n := server.Row(t, server.Schema(t, t.Name()), "SELECT count(*)::text FROM sessions"); n != "1" {
		t.Errorf("%s sessions", n)
	}
}

// TestPausesAreHeard: what an operator pauses and resumes at one gateway another one hears at once, also after it has lost
// its connection.
func TestPausesAreHeard(t *testing.T) {
	url := server.New(t)
	a, b := open(t, queue.Settings{URL: url, Gateway: "a"}), open(t, queue.Settings{URL: url, Gateway: "b"})
	hear := func(what string) {
		t.Helper()
		select {
		case <-b.Fleet().Heard():
		case <-time.After(30 * time.Second):
			t.Fatalf("b has not heard %s", what)
		}
	}
	hear("that it listens")
	if err := a.Pause(t.Context(), "x", "root"); err != nil {
		t.Fatal(err)
	}
	hear("a pause")
	if err := a.Resume(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	hear("its end")
	server.Exec(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
	hear("that it listens again")
	if err := a.Pause(t.Context(), "x", "root"); err != nil {
		t.Fatal(err)
	}
	hear("another pause")
}

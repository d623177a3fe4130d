package sqlite_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
	"mailhatch/gateway/queue/queuetest/feedbacktest"
	"mailhatch/gateway/queue/queuetest/historytest"
	"mailhatch/gateway/queue/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine is what the suites test.
func engine() queuetest.Engine { return engineKeeping(queue.KeepBodies{}) }

func engineKeeping(bodies queue.KeepBodies) queuetest.Engine {
	return queuetest.Engine{OneProcess: true, Open: func(t *testing.T, dir string) queue.Engine {
		t.Helper()
		s, err := sqlite.Open(context.Background(), queue.Settings{Dir: dir, Bodies: bodies})
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		return s
	}}
}

// openStore opens a store and runs it until it is closed.
func openStore(t testing.TB, o queue.Settings) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	go s.Run(context.Background()) //nolint:errcheck // tests ask Err
	return s
}

func TestConformance(t *testing.T) { queuetest.Run(t, engine()) }

func TestHistory(t *testing.T) { historytest.Run(t, engine()) }

func TestKeepsFromTheStart(t *testing.T) {
	historytest.KeepsFromTheStart(t, engineKeeping(queue.KeepBodies{For: time.Hour}), engine())
}

func TestFeedback(t *testing.T) { feedbacktest.Run(t, engine()) }

func TestCrash(t *testing.T) { queuetest.Crash(t, engine()) }

func TestPowerCut(t *testing.T) { queuetest.PowerCut(t, engine()) }

// named is a filter for whole messages.
func named(ids ...string) queue.Filter { return queue.Filter{IDs: ids} }

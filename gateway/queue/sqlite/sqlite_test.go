package sqlite_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
	"mailhatch/gateway/queue/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a store for the suite.
func open(t *testing.T, dir string) queue.Queue { return openStore(t, sqlite.Options{Dir: dir}) }

func openStore(t *testing.T, o sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func TestConformance(t *testing.T) { queuetest.Run(t, open) }

func TestCrash(t *testing.T) { queuetest.Crash(t, open) }

func TestPowerCut(t *testing.T) { queuetest.PowerCut(t, open) }

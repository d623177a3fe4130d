package engines

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/postgrestest"
	"mailhatch/gateway/queue/queuetest"
)

var server = postgrestest.New(postgrestest.Settings{})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func TestMigrate(t *testing.T) {
	if _, _, err := Migrate(t.Context(), "sqlite", queue.Settings{}); err == nil || !strings.Contains(err.Error(), "by itself") {
		t.Errorf("sqlite: %v", err)
	}
	if _, _, err := Migrate(t.Context(), "paper", queue.Settings{}); err == nil {
		t.Error("an engine that does not exist: no error")
	}
	if _, now, err := Migrate(t.Context(), "postgres", queue.Settings{URL: server.Schema(t, "y")}); err != nil || now < 1 {
		t.Errorf("postgres: version %d, %v", now, err)
	}
}

func TestEngines(t *testing.T) {
	for _, name := range Names() {
		s := queue.Settings{Dir: t.TempDir()}
		if name == "postgres" {
			s.URL = server.Schema(t, "x")
		}
		if _, err := Read(t.Context(), name, s); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Read where there is no store: %v", name, err)
		}
		e, err := Open(t.Context(), name, s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		queuetest.Start(t, e)()
		r, err := Read(t.Context(), name, s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, openErr := Open(t.Context(), "paper", queue.Settings{})
	_, readErr := Read(t.Context(), "paper", queue.Settings{})
	for _, err := range []error{openErr, readErr} {
		if err == nil || !strings.Contains(err.Error(), `unknown engine "paper"; must be one of postgres, sqlite`) {
			t.Errorf("an engine that does not exist: %v", err)
		}
	}
}

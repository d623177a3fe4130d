package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue/sqlite/database"
)

// TestOneConnectionAtATime: questions that follow each other share a connection, whose cache is then the only one that
// fills; those that overlap have one each.
func TestOneConnectionAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // a database without tables
		t.Fatal(err)
	}
	opened, broken := 0, errors.New("it cannot be opened")
	var fail error
	r := newReader(t.TempDir(), path, func() (*sqlite.Conn, error) {
		if fail != nil {
			return nil, fail
		}
		opened++
		return database.Open(path, database.ReaderCacheKiB)
	})
	nothing := func(*sqlite.Conn) error { return nil }
	for range 10 {
		if err := r.use(t.Context(), nothing); err != nil {
			t.Fatal(err)
		}
	}
	if opened != 1 {
		t.Errorf("%d connections for one question at a time", opened)
	}
	err := r.use(t.Context(), func(*sqlite.Conn) error {
		return r.use(t.Context(), func(*sqlite.Conn) error {
			fail = broken
			return r.use(t.Context(), nothing)
		})
	})
	if opened != 2 || !errors.Is(err, broken) {
		t.Errorf("%d connections for two at once: %v", opened, err)
	}
	for range readerConns + 1 { // the one that could not be opened took no turn for good
		if err := r.use(t.Context(), nothing); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.closeConns(); err != nil || len(r.spare) > 0 {
		t.Error(err)
	}
}

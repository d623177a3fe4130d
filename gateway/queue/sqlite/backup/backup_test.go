package backup

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/veil"
)

// store makes a state directory with one message, whose body is a file.
func store(t *testing.T) (conn *sqlite.Conn, dir string) {
	t.Helper()
	dir = t.TempDir()
	conn, err := sqlite.OpenConn(filepath.Join(dir, "queue.db"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, query := range []string{
		"CREATE TABLE messages (id INTEGER PRIMARY KEY, size INTEGER, crc INTEGER, body)",
		"CREATE TABLE parts (state INTEGER, info TEXT)",
		"INSERT INTO messages VALUES (7, 5, 0, NULL)",
		"INSERT INTO parts VALUES (0, '')",
	} {
		if err := database.Exec(conn, query, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, bodies.DirName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bodies.Path(dir, 7), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	return conn, dir
}

// TestWriteFails: whatever fails, an error says so and no half copy is left; what was there before stays.
func TestWriteFails(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, conn *sqlite.Conn, dir, to string) context.Context
		stays bool
	}{
		"nothing": {func(t *testing.T, _ *sqlite.Conn, _, _ string) context.Context { return t.Context() }, true},
		"there is something": {func(t *testing.T, _ *sqlite.Conn, _, to string) context.Context {
			if err := os.Mkdir(to, 0o700); err != nil {
				t.Fatal(err)
			}
			return t.Context()
		}, true},
		"it is cancelled": {func(t *testing.T, _ *sqlite.Conn, _, _ string) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		}, false},
		"a body is missing": {func(t *testing.T, _ *sqlite.Conn, dir, _ string) context.Context {
			if err := os.Remove(bodies.Path(dir, 7)); err != nil {
				t.Fatal(err)
			}
			return t.Context()
		}, false},
		"the key cannot be read": {func(t *testing.T, _ *sqlite.Conn, dir, _ string) context.Context {
			if err := os.Mkdir(filepath.Join(dir, veil.KeyName), 0o700); err != nil {
				t.Fatal(err)
			}
			return t.Context()
		}, false},
		"a transaction is open": {func(t *testing.T, conn *sqlite.Conn, _, _ string) context.Context {
			if err := database.Exec(conn, "BEGIN", nil); err != nil {
				t.Fatal(err)
			}
			return t.Context()
		}, false},
		"it is no store": {func(t *testing.T, conn *sqlite.Conn, _, _ string) context.Context {
			if err := database.Exec(conn, "DROP TABLE parts", nil); err != nil {
				t.Fatal(err)
			}
			return t.Context()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, dir := store(t)
			to := filepath.Join(t.TempDir(), "copy")
			err := Write(c.spoil(t, conn, dir, to), conn, "queue.db", dir, to)
			if (err == nil) != (name == "nothing") {
				t.Errorf("error %v", err)
			}
			if _, err := os.Stat(to); errors.Is(err, os.ErrNotExist) == c.stays {
				t.Errorf("the copy: %v", err)
			}
			if name != "nothing" {
				return
			}
			if text, err := os.ReadFile(bodies.Path(to, 7)); string(text) != "hello" {
				t.Errorf("the body is %q: %v", text, err)
			}
		})
	}
}

// TestCopyEndsWithItsContext: a large file does not hold up a stop, and what is copied is copied whole.
func TestCopyEndsWithItsContext(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	want := bytes.Repeat([]byte("0123456789abcdef"), 2*bytesPerStep/16+1)
	if err := os.WriteFile(from, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d: %v", len(got), len(want), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := copyFile(ctx, from, to+"2"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

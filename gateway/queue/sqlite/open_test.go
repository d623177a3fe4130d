package sqlite_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	zombie "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// put accepts a message and gives its id.
func put(t *testing.T, q queue.Queue, body []byte) (string, error) {
	t.Helper()
	d, err := q.New(context.Background())
	if err != nil {
		return "", err
	}
	defer d.Discard()
	if _, err := d.Write(body); err != nil {
		return "", err
	}
	return d.ID(), commit(d)
}

func commit(d queue.Draft) error {
	to := []envelope.Recipient{{Address: "bob@example.org"}}
	return d.Commit(context.Background(), queue.Accepted{
		Envelope: envelope.Envelope{From: "ann@example.com", To: to, Received: time.Now()},
		Parts:    []queue.Part{{To: to, Lane: "main", State: envelope.Queued}},
	})
}

func mustPut(t *testing.T, q queue.Queue, body []byte) string {
	t.Helper()
	id, err := put(t, q, body)
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return id
}

func mustClose(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// alter runs statements on the database of a closed store.
func alter(t *testing.T, dir, script string) {
	t.Helper()
	conn, err := zombie.OpenConn(filepath.Join(dir, "queue.db"), zombie.OpenReadWrite, zombie.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
		t.Fatal(err)
	}
}

// snapshot returns the names and contents of a directory, but for the lock.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "queue.lock" {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&out, "%s %q\n", path, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestOpenRefuses(t *testing.T) {
	write := func(content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "queue.db"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	filled := func(t *testing.T, dir string) {
		s := openStore(t, queue.Settings{Dir: dir})
		for range 100 {
			mustPut(t, s, make([]byte, 8_000))
		}
		mustClose(t, s)
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
		want string
	}{
		{"text", write(strings.Repeat("important notes\n", 20)), "is not a mailhatch queue: it must be an SQLite database"},
		{"short", write("x"), "is not a mailhatch queue: it must be an SQLite database"},
		{"another program", func(t *testing.T, dir string) {
			alter(t, dir, "CREATE TABLE accounts (name TEXT); INSERT INTO accounts VALUES ('ann');")
		}, "it belongs to another program"},
		{"newer version", func(t *testing.T, dir string) {
			filled(t, dir)
			alter(t, dir, "PRAGMA user_version = 99;")
		}, "has version 99 of the queue's tables and this mailhatch knows version"},
		{"cut off", func(t *testing.T, dir string) {
			filled(t, dir)
			if err := os.Truncate(filepath.Join(dir, "queue.db"), 200_000); err != nil {
				t.Fatal(err)
			}
		}, "is damaged"},
		{"overwritten", func(t *testing.T, dir string) {
			filled(t, dir)
			f, err := os.OpenFile(filepath.Join(dir, "queue.db"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte(strings.Repeat("garbage!", 20_000)), 16384); err != nil {
				t.Fatal(err)
			}
		}, "is damaged"},
		{"a directory", func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "queue.db"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "a directory" && runtime.GOOS == "windows" {
				t.Skip("Windows words it differently")
			}
			dir := t.TempDir()
			c.make(t, dir)
			before := snapshot(t, dir)
			_, err := sqlite.Open(context.Background(), queue.Settings{Dir: dir})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "queue.db") {
				t.Errorf("Open: %v; want %q and the file's name", err, c.want)
			}
			if after := snapshot(t, dir); after != before {
				t.Errorf("Open changed the directory")
			}
			r, err := sqlite.OpenReadOnly(context.Background(), queue.Settings{Dir: dir})
			if err == nil {
				_, err = r.Stats(context.Background())
				mustClose(t, r)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("OpenReadOnly: %v; want %q", err, c.want)
			}
			if err := os.RemoveAll(filepath.Join(dir, "queue.db")); err != nil {
				t.Fatal(err)
			}
			mustClose(t, openStore(t, queue.Settings{Dir: dir})) // nothing stays locked
		})
	}
}

func TestOpenBadDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(context.Background(), queue.Settings{Dir: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("Open: %v, want an error with the name", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := sqlite.Open(ctx, queue.Settings{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want context.Canceled", err)
	}
}

func TestOpenEmptyFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"queue.db", "queue.db.new", "queue.db.new-wal"} { // what a start that was cut off may leave
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t, queue.Settings{Dir: dir})
	mustPut(t, s, []byte("x"))
	mustClose(t, s)
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	_, err := sqlite.Open(context.Background(), queue.Settings{Dir: dir})
	if !errors.Is(err, queue.ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second Open: %v, want ErrLocked with directory and process", err)
	}
	mustPut(t, s, []byte("x"))
	mustClose(t, s)
	mustClose(t, openStore(t, queue.Settings{Dir: dir}))
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	dir := filepath.Join(t.TempDir(), "state")
	s := openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	mustPut(t, s, make([]byte, 1<<20))
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = fs.ModeDir | 0o700
		}
		files++
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return err
	})
	if err != nil || files < 6 { // state, bodies, a body, database, log, its index, lock
		t.Errorf("%d files, %v", files, err)
	}
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	mustPut(t, s, []byte("x"))
	mustClose(t, s)
	header, err := os.ReadFile(filepath.Join(dir, "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	// https://www.sqlite.org/fileformat2.html#the_database_header
	if header[18] != 2 || header[19] != 2 {
		t.Error("the database does not use a write-ahead log")
	}
	if binary.BigEndian.Uint32(header[52:]) == 0 || binary.BigEndian.Uint32(header[64:]) == 0 {
		t.Error("auto_vacuum is not INCREMENTAL")
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "queue.db?*")); len(names) != 0 {
		t.Errorf("Close left %v", names)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	kept := mustPut(t, s, make([]byte, 1<<20))
	d, err := s.New(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s) // the draft is cut off
	foreign := []string{"notes.txt", "0000000000001.txt", "UUUUUUUUUUUUU.eml", "0000000000001.eml.bak", strings.ToLower(kept) + "x.eml"}
	for _, name := range append([]string{"0000000000001.eml"}, foreign...) {
		if err := os.WriteFile(filepath.Join(dir, "bodies", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, queue.Settings{Dir: dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	defer mustClose(t, s)
	want := append([]string{kept + ".eml"}, foreign...)
	var left []fs.DirEntry
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if left, err = os.ReadDir(filepath.Join(dir, "bodies")); err != nil {
			t.Fatal(err)
		}
		if len(left) == len(want) {
			break
		}
	}
	for _, name := range want {
		if _, err := os.Stat(filepath.Join(dir, "bodies", name)); err != nil {
			t.Errorf("removed: %v", err)
		}
	}
	if len(left) != len(want) {
		t.Errorf("%d files are left, want %d", len(left), len(want))
	}
}

func TestNoSweepWithoutDatabase(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	id := mustPut(t, s, make([]byte, 1<<20))
	mustClose(t, s)
	if err := os.Remove(filepath.Join(dir, "queue.db")); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	awaitAside(t, s, id+".eml")
}

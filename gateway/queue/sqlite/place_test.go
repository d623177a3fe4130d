//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

// TestDatabaseTakenAway: mail that is committed to a file without a name would be gone with the program.
func TestDatabaseTakenAway(t *testing.T) {
	move := func(from, to string) func(dir string) error {
		return func(dir string) error { return os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)) }
	}
	for _, c := range []struct {
		name, want string
		take       func(dir string) error
	}{
		{"removed", "queue.db was removed", func(dir string) error { return os.Remove(filepath.Join(dir, "queue.db")) }},
		{"renamed", "queue.db was removed", move("queue.db", "old.db")},
		{"the log removed", "queue.db-wal was removed", func(dir string) error { return os.Remove(filepath.Join(dir, "queue.db-wal")) }},
		{"all removed", "queue.db was removed", func(dir string) error {
			for _, end := range []string{"", "-wal", "-shm"} {
				if err := os.Remove(filepath.Join(dir, "queue.db"+end)); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, queue.Settings{Dir: dir})
			mustPut(t, s, []byte("first"))
			if err := c.take(dir); err != nil {
				t.Fatal(err)
			}
			_, err := put(t, s, []byte("second"))
			if !errors.Is(err, queue.ErrBroken) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Commit: got %v, want ErrBroken and %q", err, c.want)
			}
			if _, err := s.New(context.Background()); !errors.Is(err, queue.ErrBroken) {
				t.Errorf("New: %v", err)
			}
			_ = s.Close()
			if _, err := os.Stat(filepath.Join(dir, "queue.db")); err == nil {
				return // the log alone is lost
			}
			s = openStore(t, queue.Settings{Dir: dir})
			defer mustClose(t, s)
			mustPut(t, s, []byte("third"))
			if list, err := s.List(context.Background(), queue.Filter{}, queue.Page{}); err != nil || len(list) != 1 {
				t.Errorf("after the next start: %+v, %v; want the new message alone", list, err)
			}
		})
	}
}

// TestBodiesTakenAway: a body in a file without a name would be gone with the program.
func TestBodiesTakenAway(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		take func(dir string) error
	}{
		{"the segment", 100 << 10, func(dir string) error { return os.Remove(filepath.Join(dir, "bodies", "00000001.seg")) }},
		{"the file", 1 << 20, func(dir string) error {
			names, err := filepath.Glob(filepath.Join(dir, "bodies", "*.eml"))
			return errors.Join(err, os.Remove(names[0]))
		}},
		{"the folder", 1 << 20, func(dir string) error { return os.Rename(filepath.Join(dir, "bodies"), filepath.Join(dir, "old")) }},
		{"the folder of a segment", 100 << 10, func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "bodies"), filepath.Join(dir, "old")), os.Mkdir(filepath.Join(dir, "bodies"), 0o700))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, queue.Settings{Dir: dir})
			defer s.Close()                  //nolint:errcheck // it is broken
			mustPut(t, s, bodyOf(1, 50<<10)) // begins the segment
			d, err := s.New(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Write(bodyOf(2, c.size)); err != nil {
				t.Fatal(err)
			}
			if err := c.take(dir); err != nil {
				t.Fatal(err)
			}
			if err := commit(d); !errors.Is(err, queue.ErrBroken) || !strings.Contains(err.Error(), "bodies") {
				t.Errorf("Commit: %v, want ErrBroken and the reason", err)
			}
		})
	}
}

// TestIdleStoreNoticesBodies: mail that was acknowledged is in the folder that is gone.
func TestIdleStoreNoticesBodies(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	defer s.Close() //nolint:errcheck // it is broken
	if err := os.Rename(filepath.Join(dir, "bodies"), filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Broken():
	case <-time.After(20 * time.Second):
		t.Error("not noticed")
	}
}

// TestIdleStoreNotices: readiness must not wait for the next mail.
func TestIdleStoreNotices(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	mustPut(t, s, []byte("first"))
	path := filepath.Join(dir, "queue.db")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Broken():
	case <-time.After(20 * time.Second):
		t.Error("not noticed")
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "was replaced") {
		t.Errorf("got %v", err)
	}
	_ = s.Close()
}

// TestLogWithoutDatabase: the log of a lost database must not be played into a new one.
func TestLogWithoutDatabase(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "queue.db-wal"), []byte("stale"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	mustPut(t, s, []byte("first"))
	if b, err := os.ReadFile(filepath.Join(dir, "queue.db-wal.old")); err != nil || string(b) != "stale" {
		t.Errorf("%q, %v", b, err)
	}
}

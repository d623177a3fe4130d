package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

const frameLen = 24 + 4096 // bytes of a frame in the log

// killed returns the state directory of a process that was killed after it had accepted n messages, and their ids.
func killed(t *testing.T, n int) (dir string, ids []string) {
	t.Helper()
	from, dir := t.TempDir(), t.TempDir()
	s := openStore(t, queue.Settings{Dir: from})
	defer mustClose(t, s)
	for i := range n {
		ids = append(ids, mustPut(t, s, bodyOf(i, 1000+i*300)))
	}
	copyDir(t, dir, from)
	return dir, ids
}

func copyDir(t *testing.T, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// flip changes a bit of a file.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << (at % 8)
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// wantRefused checks that a store does not open for the damage to its log, and stays as it is.
func wantRefused(t *testing.T, dir, words string) {
	t.Helper()
	before := snapshot(t, dir)
	s, err := sqlite.Open(context.Background(), queue.Settings{Dir: dir})
	if err == nil {
		list, err := s.List(context.Background(), queue.Filter{}, queue.Page{})
		t.Errorf("Open: no error; %d messages, %v", len(list), err)
		_ = s.Close()
		return
	}
	if !errors.Is(err, queue.ErrDamagedLog) || !strings.Contains(err.Error(), words) {
		t.Errorf("Open: %v, want ErrDamagedLog and %q", err, words)
	}
	if after := snapshot(t, dir); after != before {
		t.Error("Open changed the directory")
	}
}

func wantMessages(t *testing.T, s *sqlite.Store, n int) {
	t.Helper()
	if list, err := s.List(context.Background(), queue.Filter{}, queue.Page{}); err != nil || len(list) != n {
		t.Errorf("%d messages, %v; want %d", len(list), err, n)
	}
}

func wantUnclean(t *testing.T, s *sqlite.Store, want bool) {
	t.Helper()
	if h, err := s.Health(context.Background()); err != nil || h.Unclean != want {
		t.Errorf("Health: %+v, %v; want Unclean %v", h, err, want)
	}
}

// TestDamagedLog: SQLite opens each of these without a word and without mail that was acknowledged.
func TestDamagedLog(t *testing.T) {
	const messages = 20
	for _, c := range []struct {
		name, want string
		damage     func(t *testing.T, wal string, size int64)
	}{
		{"first frame", "SQLite would drop 20 commits", func(t *testing.T, wal string, _ int64) { flip(t, wal, 32+frameLen+30+1000) }},
		{"header", "SQLite would drop 20 commits", func(t *testing.T, wal string, _ int64) { flip(t, wal, 17) }},
		{"last commit", "is damaged or cut off", func(t *testing.T, wal string, size int64) { flip(t, wal, size-1000) }},
		{"cut off in a frame", "is damaged or cut off", func(t *testing.T, wal string, size int64) { truncate(t, wal, size-1) }},
		{"last frame cut off", "is damaged or cut off", func(t *testing.T, wal string, size int64) { truncate(t, wal, size-frameLen) }},
		{"half cut off", "is damaged or cut off", func(t *testing.T, wal string, size int64) { truncate(t, wal, 32+(size/frameLen/2)*frameLen) }},
		{"empty", "is missing or empty", func(t *testing.T, wal string, _ int64) { truncate(t, wal, 0) }},
		{"removed", "is missing or empty", func(t *testing.T, wal string, _ int64) {
			if err := os.Remove(wal); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := killed(t, messages)
			wal := filepath.Join(dir, "queue.db-wal")
			st, err := os.Stat(wal)
			if err != nil {
				t.Fatal(err)
			}
			c.damage(t, wal, st.Size())
			wantRefused(t, dir, c.want)
		})
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// TestEveryFrame: wherever the bit is, either nothing is lost or the store does not open.
func TestEveryFrame(t *testing.T) {
	const messages = 6
	whole, _ := killed(t, messages)
	st, err := os.Stat(filepath.Join(whole, "queue.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range st.Size() / frameLen {
		for _, at := range []int64{0, 5, 9, 17, 24 + n*7} {
			dir := filepath.Join(t.TempDir(), fmt.Sprint(n, at))
			copyDir(t, dir, whole)
			flip(t, filepath.Join(dir, "queue.db-wal"), 32+n*frameLen+at)
			wantRefused(t, dir, "damaged")
		}
	}
}

// TestUnclean: what a kill leaves behind is whole; the next start notices only that nobody closed it.
func TestUnclean(t *testing.T) {
	dir, _ := killed(t, 20)
	s := openStore(t, queue.Settings{Dir: dir})
	wantMessages(t, s, 20)
	wantUnclean(t, s, true)
	mustClose(t, s)
	s = openStore(t, queue.Settings{Dir: dir})
	wantMessages(t, s, 20)
	wantUnclean(t, s, false)
	mustClose(t, s)
	if _, err := os.Stat(filepath.Join(dir, "queue.open")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark of an open store is left: %v", err)
	}
}

// TestTornCommit: after a power cut the mark may be older than the log, whose last transaction may be torn. That was
// never acknowledged, and does not count twice when it happens again.
func TestTornCommit(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	s := openStore(t, queue.Settings{Dir: from})
	for i := range 5 {
		mustPut(t, s, bodyOf(i, 1000))
	}
	mark, err := os.ReadFile(filepath.Join(from, "queue.open"))
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, bodyOf(9, 8000))
	copyDir(t, dir, from)
	mustClose(t, s)
	for range 2 {
		tear(t, dir, mark)
		s := openStore(t, queue.Settings{Dir: dir})
		wantMessages(t, s, 5)
		if mark, err = os.ReadFile(filepath.Join(dir, "queue.open")); err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, bodyOf(7, 1000))
		dir = t.TempDir()
		copyDir(t, dir, s.Dir())
		mustClose(t, s)
	}
}

// tear is a power cut during the last transaction.
func tear(t *testing.T, dir string, mark []byte) {
	t.Helper()
	wal := filepath.Join(dir, "queue.db-wal")
	st, err := os.Stat(wal)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, wal, st.Size()-2*frameLen)
	if err := os.WriteFile(filepath.Join(dir, "queue.open"), mark, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNoMark: a state directory of a version that had no mark.
func TestNoMark(t *testing.T) {
	dir, _ := killed(t, 5)
	if err := os.Remove(filepath.Join(dir, "queue.open")); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	copyDir(t, other, dir)
	flip(t, filepath.Join(other, "queue.db-wal"), 32+frameLen+100)
	wantRefused(t, other, "SQLite would drop 5 commits")
	s := openStore(t, queue.Settings{Dir: dir})
	wantMessages(t, s, 5)
	wantUnclean(t, s, true)
	mustClose(t, s)
}

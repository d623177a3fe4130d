package sqlite_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
	"mailhatch/gateway/queue/sqlite/database"
)

// fillState leaves a store with two queued messages, one of them in a file, and one record.
func fillState(t *testing.T, s *sqlite.Store) (small, large string) {
	t.Helper()
	mustPut(t, s, []byte("sent"))
	l := claimOne(t, s)
	if err := l.Finish(context.Background(), sent(l)); err != nil {
		t.Fatal(err)
	}
	return mustPut(t, s, []byte("small")), mustPut(t, s, make([]byte, 1<<20))
}

// checkReadOnly looks at everything that a stopped store can tell.
func checkReadOnly(t *testing.T, dir, small, large string) {
	t.Helper()
	ctx := context.Background()
	r, err := sqlite.OpenReadOnly(ctx, queue.Settings{Dir: dir})
	if err != nil {
		t.Fatalf("OpenReadOnly: %v", err)
	}
	defer mustClose(t, r)
	if got, err := r.List(ctx, queue.Filter{}, queue.Page{}); err != nil || len(got) != 2 || got[0].ID != small || got[1].ID != large {
		t.Errorf("List: %d messages, %v", len(got), err)
	}
	if got, err := r.Search(ctx, queue.HistoryFilter{}); err != nil || len(got) != 1 {
		t.Errorf("History: %d records, %v", len(got), err)
	}
	stats, err := r.Stats(ctx)
	if d := stats[envelope.Queued]; err != nil || d.Parts != 2 || d.Bytes != 5+1<<20 || time.Since(d.Oldest) > time.Hour {
		t.Errorf("Stats: %+v, %v", stats, err)
	}
	for id, size := range map[string]int64{small: 5, large: 1 << 20} {
		b, err := r.Body(ctx, id)
		if err != nil {
			t.Errorf("Body: %v", err)
			continue
		}
		if n, err := io.Copy(io.Discard, io.NewSectionReader(b, 0, b.Size())); n != size || err != nil {
			t.Errorf("body of %d bytes, %v", n, err)
		}
		b.Close()
	}
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	small, large := fillState(t, s)
	mustClose(t, s)
	checkReadOnly(t, dir, small, large)
	s = openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	if got, err := s.List(context.Background(), queue.Filter{}, queue.Page{}); err != nil || len(got) != 2 {
		t.Errorf("after reading, the store has %d messages, %v", len(got), err)
	}
}

// TestReadOnlyOld reads a state that an older version has left: what it had no tables for is empty.
func TestReadOnlyOld(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s := openStore(t, queue.Settings{Dir: dir})
	small, large := fillState(t, s)
	mustClose(t, s)
	conn, err := database.Open(filepath.Join(dir, "queue.db"), database.ReaderCacheKiB)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"DROP TABLE suppressions", "DROP TABLE feedback_late", "PRAGMA user_version = 7"} {
		if err := database.Exec(conn, sql, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	checkReadOnly(t, dir, small, large)
	r, err := sqlite.OpenReadOnly(ctx, queue.Settings{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, r)
	if list, err := r.Suppressions(ctx, queue.SuppressionFilter{}); len(list) > 0 || err != nil {
		t.Errorf("suppressions: %v, %v", list, err)
	}
	if list, err := r.LateBounces(ctx, "", 10); len(list) > 0 || err != nil {
		t.Errorf("late bounces: %v, %v", list, err)
	}
}

// TestReadOnlyLog reads a state whose owner was killed: its last messages are in the log alone.
func TestReadOnlyLog(t *testing.T) {
	dir, killed := t.TempDir(), t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	small, large := fillState(t, s)
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	checkReadOnly(t, killed, small, large)
}

func TestReadOnlyMissing(t *testing.T) {
	ctx := context.Background()
	if _, err := sqlite.OpenReadOnly(ctx, queue.Settings{Dir: t.TempDir()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenReadOnly: %v, want ErrNotExist", err)
	}
	dir := t.TempDir()
	mustClose(t, openStore(t, queue.Settings{Dir: dir}))
	r, err := sqlite.OpenReadOnly(ctx, queue.Settings{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, r)
	_, listErr := r.List(ctx, queue.Filter{}, queue.Page{})
	_, statsErr := r.Stats(ctx)
	for what, err := range map[string]error{"List": listErr, "Stats": statsErr, "Close": r.Close()} {
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) < 2 {
		t.Errorf("reading left %v", names)
	}
}

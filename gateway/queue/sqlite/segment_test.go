package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// bodyOf is a body of that many bytes unlike others.
func bodyOf(n, size int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%07d\n", n), size/8+1)[:size]
}

// putMany accepts bodies of 100 KiB.
func putMany(t *testing.T, s *sqlite.Store, n int) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, mustPut(t, s, bodyOf(i, 100<<10)))
	}
	return ids
}

func wantBody(t *testing.T, q interface {
	Body(context.Context, string) (queue.Body, error)
}, id string, want []byte) {
	t.Helper()
	b, err := q.Body(context.Background(), id)
	if err != nil {
		t.Errorf("body of %s: %v", id, err)
		return
	}
	defer b.Close()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("body of %s: %d bytes unlike the %d that were accepted, %v", id, len(got), len(want), err)
	}
}

func claimFirst(t *testing.T, s *sqlite.Store) queue.Lease {
	t.Helper()
	leases, err := s.Claim(context.Background(), "main", 1, time.Minute)
	if err != nil || len(leases) != 1 {
		t.Fatalf("Claim: %d leases, %v", len(leases), err)
	}
	return leases[0]
}

func bodyFiles(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "bodies", pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// awaitFiles waits until as many files are left.
func awaitFiles(t *testing.T, dir, pattern string, want int) {
	t.Helper()
	var names []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if names = bodyFiles(t, dir, pattern); len(names) == want {
			return
		}
	}
	t.Errorf("%s: %d files %v, want %d", pattern, len(names), names, want)
}

func TestSegments(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	ids := putMany(t, s, 200) // 20 MB
	if n := len(bodyFiles(t, dir, "*.seg")); n != 3 {
		t.Errorf("%d segments for 20 MB", n)
	}
	if names := bodyFiles(t, dir, "*.eml"); len(names) != 0 {
		t.Errorf("bodies in files of their own: %v", names)
	}
	for i, id := range ids {
		wantBody(t, s, id, bodyOf(i, 100<<10))
	}
	if _, err := s.Delete(context.Background(), named(ids[1:]...), "root"); err != nil {
		t.Fatal(err)
	}
	awaitFiles(t, dir, "*.seg", 2) // that of the first message, and the one that is being filled
	mustClose(t, s)

	foreign := filepath.Join(dir, "bodies", "1.seg")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	awaitFiles(t, dir, "0*.seg", 1)
	wantBody(t, s, ids[0], bodyOf(0, 100<<10))
	last := mustPut(t, s, bodyOf(7, 100<<10))
	wantBody(t, s, last, bodyOf(7, 100<<10))
	l := claimFirst(t, s)
	if err := l.Finish(context.Background(), sent(l)); err != nil {
		t.Fatal(err)
	}
	awaitFiles(t, dir, "0*.seg", 1)
	wantBody(t, s, last, bodyOf(7, 100<<10))
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a foreign file was removed: %v", err)
	}
}

// TestGather checks that a message that waits for long does not hold a whole segment.
func TestGather(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	ids := putMany(t, s, 90)
	lease := claimFirst(t, s)
	gone := append([]string(nil), ids[1:5]...)
	if _, err := s.Delete(ctx, named(append(gone, ids[6:81]...)...), "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(ctx, queue.Keep{SentAfter: time.Now(), FailedAfter: time.Now()}); err != nil {
		t.Fatal(err)
	}
	awaitFiles(t, dir, "*.eml", 2)
	awaitFiles(t, dir, "*.seg", 1)
	for _, n := range []int{0, 5, 81, 89} {
		wantBody(t, s, ids[n], bodyOf(n, 100<<10))
	}
	if b, err := lease.Body(); err != nil {
		t.Errorf("body of a lease that is older than the move: %v", err)
	} else {
		b.Close()
	}
	if err := lease.Finish(ctx, sent(lease)); err != nil {
		t.Fatal(err)
	}
	awaitFiles(t, dir, "*.eml", 1)
	mustClose(t, s)

	s = openStore(t, queue.Settings{Dir: dir}) // the last segment is one of a former process now
	defer mustClose(t, s)
	mustPut(t, s, bodyOf(1, 100<<10))
	for deadline := time.Now().Add(10 * time.Second); len(bodyFiles(t, dir, "*.eml")) < 10 && time.Now().Before(deadline); {
		if _, err := s.Prune(ctx, queue.Keep{SentAfter: time.Now(), FailedAfter: time.Now()}); err != nil { // moves it once it was weighed
			t.Fatal(err)
		}
	}
	awaitFiles(t, dir, "*.eml", 10)
	awaitFiles(t, dir, "*.seg", 1)
	wantBody(t, s, ids[89], bodyOf(89, 100<<10))
}

func TestDamagedSegment(t *testing.T) {
	body := bodyOf(3, 100<<10)
	for _, c := range []struct {
		name, want string
		damage     func(path string) error
	}{
		{"cut off", "is cut off", func(path string) error { return os.Truncate(path, 1000) }},
		{"a bit", "does not match its checksum", func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte{body[50_000] ^ 4}, 50_000)
			return err
		}},
		{"missing", "is missing", os.Remove},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, queue.Settings{Dir: dir})
			defer mustClose(t, s)
			id := mustPut(t, s, body)
			path := bodyFiles(t, dir, "*.seg")[0]
			if err := c.damage(path); err != nil {
				t.Fatal(err)
			}
			_, err := s.Body(context.Background(), id)
			wantDamaged(t, "Body", err, path, id, c.want)
			_, err = claimFirst(t, s).Body()
			wantDamaged(t, "Body of a lease", err, path, id, c.want)
		})
	}
}

// backTo takes away what a version of the tables was without.
func backTo(version int) string {
	script := fmt.Sprintf("PRAGMA user_version = %d; ", version)
	if version < 10 {
		script += "DROP TABLE feedback_outgoing; "
	}
	if version < 8 {
		script += "DROP TABLE suppressions; "
	}
	if version < 9 {
		script += "DROP TABLE feedback_cursors; DROP TABLE feedback_waiting; DROP TABLE feedback_late; DROP TABLE feedback_nonces; "
	}
	if version < 7 {
		script += "DROP TABLE sheets; "
	}
	if version < 6 {
		script += "DROP TABLE finished; DROP TABLE marks; ALTER TABLE history DROP COLUMN kept; "
	}
	if version < 5 {
		script += "DROP TABLE events; DROP TABLE pauses; "
	}
	if version < 4 {
		script += "DROP TABLE quota_used; DROP TABLE quota_open; DROP TABLE quota_counting; "
	}
	if version < 2 {
		script += "DROP INDEX messages_segment; "
	}
	return script
}

// TestUpgrade opens a queue that was made before there were segments.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	small := mustPut(t, s, bodyOf(1, 1000))
	large := mustPut(t, s, bodyOf(2, 100<<10))
	mustClose(t, s)
	seg := bodyFiles(t, dir, "*.seg")[0]
	alter(t, dir, fmt.Sprintf(backTo(1)+"UPDATE messages SET body = CAST(x'%x' AS BLOB) WHERE typeof(body) = 'integer';", bodyOf(2, 100<<10)))
	if err := os.Remove(seg); err != nil {
		t.Fatal(err)
	}
	r, err := sqlite.OpenReadOnly(context.Background(), queue.Settings{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	wantBody(t, r, large, bodyOf(2, 100<<10))
	mustClose(t, r)
	s = openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	wantBody(t, s, small, bodyOf(1, 1000))
	wantBody(t, s, large, bodyOf(2, 100<<10))
	for range 2 {
		l := claimFirst(t, s)
		if err := l.Finish(context.Background(), sent(l)); err != nil {
			t.Error(err)
		}
	}
	wantBody(t, s, mustPut(t, s, bodyOf(4, 100<<10)), bodyOf(4, 100<<10))
}

// TestDraftMemory checks that many large drafts at once share a limited memory and go to files.
func TestDraftMemory(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	var drafts []queue.Draft
	for i := range 120 { // 24 MB
		d, err := s.New(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(d, bytes.NewReader(bodyOf(i, 200<<10))); err != nil {
			t.Fatal(err)
		}
		drafts = append(drafts, d)
	}
	if n := len(bodyFiles(t, dir, "*.eml")); n < 70 || n > 119 {
		t.Errorf("%d of 120 drafts are in files", n)
	}
	for i, d := range drafts {
		if err := commit(d); err != nil {
			t.Fatal(err)
		}
		wantBody(t, s, d.ID(), bodyOf(i, 200<<10))
	}
	before := len(bodyFiles(t, dir, "*.eml"))
	wantBody(t, s, mustPut(t, s, bodyOf(9, 200<<10)), bodyOf(9, 200<<10))
	if n := len(bodyFiles(t, dir, "*.eml")); n != before {
		t.Error("the drafts' memory was not given back")
	}
}

// TestDraftMemoryLimit checks that a process with little memory (GOMEMLIMIT) gives drafts less of it.
func TestDraftMemoryLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	for limit, want := range map[int64]int64{math.MaxInt64: 8 << 20, 1 << 30: 8 << 20, 64 << 20: 4 << 20} {
		debug.SetMemoryLimit(limit)
		if got := sqlite.DraftMemory(); got != want {
			t.Errorf("GOMEMLIMIT %d: %d bytes, want %d", limit, got, want)
		}
	}
}

// TestSegmentSyncFails checks that a failed fsync of a segment is never taken for a success.
func TestSegmentSyncFails(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer s.Close()
	mustPut(t, s, bodyOf(1, 100<<10))
	if err := s.CloseSegment(); err != nil {
		t.Fatal(err)
	}
	_, err := put(t, s, bodyOf(2, 100<<10))
	if err == nil {
		t.Error("Commit: no error")
	}
	if err := s.FailSync(); !errors.Is(err, queue.ErrBroken) || !errors.Is(s.Err(), queue.ErrBroken) || strings.Contains(err.Error(), "full") {
		t.Errorf("after a failed fsync: %v, %v", err, s.Err())
	}
}

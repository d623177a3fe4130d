package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

func TestDamagedBody(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 30_000)
	for _, c := range []struct {
		name, want string
		damage     func(path string) error
	}{
		{"cut off", "has 1000 bytes instead of 300000", func(path string) error { return os.Truncate(path, 1000) }},
		{"a bit", "does not match its checksum", func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte{body[200_000] ^ 4}, 200_000)
			return err
		}},
		{"missing", "is missing", os.Remove},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, queue.Settings{Dir: dir})
			defer mustClose(t, s)
			id := mustPut(t, s, body)
			path := filepath.Join(dir, "bodies", id+".eml")
			if err := c.damage(path); err != nil {
				t.Fatal(err)
			}
			_, err := s.Body(context.Background(), id)
			wantDamaged(t, "Body", err, path, c.want)
			_, err = claimOne(t, s).Body()
			wantDamaged(t, "Body of a lease", err, path, c.want)
		})
	}
}

func wantDamaged(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, queue.ErrDamaged) {
		t.Errorf("%s: got %v, want ErrDamaged", what, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: got %v, want %q in it", what, err, w)
		}
	}
}

func claimOne(t *testing.T, s *sqlite.Store) queue.Lease {
	t.Helper()
	leases, err := s.Claim(context.Background(), "main", 10, time.Minute)
	if err != nil || len(leases) != 1 {
		t.Fatalf("Claim: %d leases, %v", len(leases), err)
	}
	return leases[0]
}

func sent(l queue.Lease) queue.Result {
	return queue.Result{Done: []queue.Record{{Recipient: l.Message().Parts[0].To[0], State: envelope.Sent}}}
}

func TestDamagedRows(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	small := mustPut(t, s, []byte("0123456789"))
	mustClose(t, s)
	alter(t, dir, "UPDATE messages SET body = x'00'")
	s = openStore(t, queue.Settings{Dir: dir})
	_, err := s.Body(context.Background(), small)
	wantDamaged(t, "Body", err, filepath.Join(dir, "queue.db"), small)
	_, err = claimOne(t, s).Body()
	wantDamaged(t, "Body of a lease", err, filepath.Join(dir, "queue.db"), small)
	mustClose(t, s)

	for _, c := range []struct{ name, script string }{
		{"message", "UPDATE messages SET info = '{'"},
		{"part", "UPDATE parts SET info = '{'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, queue.Settings{Dir: dir})
			bad := mustPut(t, s, []byte("x"))
			mustClose(t, s)
			alter(t, dir, c.script)
			var log bytes.Buffer
			s = openStore(t, queue.Settings{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			defer mustClose(t, s)
			good := mustPut(t, s, []byte("x"))
			if got := claimOne(t, s).Message().ID; got != good {
				t.Errorf("claimed %s, want the good message %s", got, good)
			}
			if !strings.Contains(log.String(), bad) {
				t.Errorf("the log does not name the message: %s", log.String())
			}
			if _, err := s.List(context.Background(), queue.Filter{}, queue.Page{}); err == nil || !strings.Contains(err.Error(), bad) {
				t.Errorf("List: %v, want an error that names the message", err)
			}
			for what, call := range map[string]func(ctx context.Context, f queue.Filter, by string) (queue.Changed, error){"Delete": s.Delete, "Retry": s.Retry} {
				if _, err := call(context.Background(), named(bad), "root"); c.name == "part" && err == nil {
					t.Errorf("%s: no error", what)
				}
			}
			if err := s.Err(); err != nil {
				t.Errorf("one damaged row stopped the store: %v", err)
			}
		})
	}

	s = openStore(t, queue.Settings{Dir: dir})
	if _, err := s.Delete(context.Background(), named(small), "root"); err != nil {
		t.Errorf("Delete of a message with a damaged body: %v", err)
	}
	mustClose(t, s)
	alter(t, dir, "UPDATE history SET info = ''")
	s = openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	if _, err := s.Search(context.Background(), queue.HistoryFilter{}); err == nil || !strings.Contains(err.Error(), small) {
		t.Errorf("History: %v, want an error that names the message", err)
	}
}

// TestReserve checks that mail is refused before the disk is full and that delivery goes on.
func TestReserve(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	mustPut(t, s, []byte("x"))
	mustClose(t, s)
	s = openStore(t, queue.Settings{Dir: dir, ReserveBytes: 1})
	mustPut(t, s, []byte("x"))
	mustClose(t, s)
	s = openStore(t, queue.Settings{Dir: dir, ReserveBytes: math.MaxInt64})
	defer mustClose(t, s)
	if _, err := s.New(context.Background()); !errors.Is(err, queue.ErrFull) || !strings.Contains(err.Error(), dir) {
		t.Errorf("New: %v, want ErrFull with the directory", err)
	}
	leases, err := s.Claim(context.Background(), "main", 10, time.Minute)
	if err != nil || len(leases) != 2 {
		t.Fatalf("Claim: %d leases, %v", len(leases), err)
	}
	for _, l := range leases {
		if err := l.Finish(context.Background(), sent(l)); err != nil {
			t.Errorf("Finish: %v", err)
		}
	}
}

// fillUp commits until the store says that it is full.
func fillUp(t *testing.T, s *sqlite.Store, size int) (ids []string) {
	t.Helper()
	for range 100_000 {
		id, err := put(t, s, make([]byte, size))
		if errors.Is(err, queue.ErrFull) {
			return ids
		}
		if err != nil {
			t.Fatalf("Commit: %v, want ErrFull in the end", err)
		}
		ids = append(ids, id)
	}
	t.Fatal("the store was never full")
	return nil
}

// checkAfterFull checks that what was acknowledged is there, that nothing else is, and that delivery
// makes room for new mail.
func checkAfterFull(t *testing.T, s *sqlite.Store, ids []string) {
	t.Helper()
	messages, err := s.List(context.Background(), queue.Filter{}, queue.Page{})
	if err != nil || len(messages) != len(ids) {
		t.Fatalf("List: %d messages, %v; want %d", len(messages), err, len(ids))
	}
	for {
		leases, err := s.Claim(context.Background(), "main", 16, time.Minute)
		if err != nil {
			t.Fatalf("Claim: %v", err)
		}
		if len(leases) == 0 {
			break
		}
		for _, l := range leases {
			b, err := l.Body()
			if err != nil {
				t.Fatalf("Body: %v", err)
			}
			b.Close()
			if err := l.Finish(context.Background(), sent(l)); err != nil {
				t.Fatalf("Finish: %v", err)
			}
		}
	}
	if _, err := put(t, s, make([]byte, 1000)); err != nil {
		t.Errorf("Commit after delivery made room: %v", err)
	}
	if err := s.Err(); err != nil {
		t.Errorf("a full disk broke the store: %v", err)
	}
}

func TestDatabaseFull(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	if err := s.LimitPages(400); err != nil {
		t.Fatal(err)
	}
	ids := fillUp(t, s, 7_000)
	if len(ids) < 10 {
		t.Fatalf("full after %d messages", len(ids))
	}
	if err := s.LimitPages(480); err != nil { // the reserve
		t.Fatal(err)
	}
	checkAfterFull(t, s, ids)
}

func TestBroken(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	defer s.Close()
	id := mustPut(t, s, []byte("x"))
	l := claimOne(t, s)
	large, err := s.New(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := large.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := s.RefuseWrites(); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, s, []byte("x")); !errors.Is(err, queue.ErrBroken) || !strings.Contains(err.Error(), "queue.db") {
		t.Errorf("Commit: %v, want ErrBroken with the file's name", err)
	}
	select {
	case <-s.Broken():
	default:
		t.Error("Broken is not closed")
	}
	ctx := context.Background()
	_, newErr := s.New(ctx)
	_, claimErr := s.Claim(ctx, "main", 1, time.Minute)
	_, deleteErr := s.Delete(ctx, named(id), "root")
	_, pruneErr := s.Prune(ctx, queue.Keep{SentAfter: time.Now(), FailedAfter: time.Now()})
	for what, err := range map[string]error{
		"Err": s.Err(), "New": newErr, "Commit of a draft": large.Commit(ctx, queue.Accepted{}),
		"Claim": claimErr, "Finish": l.Finish(ctx, sent(l)), "Delete": deleteErr, "Prune": pruneErr,
	} {
		if !errors.Is(err, queue.ErrBroken) {
			t.Errorf("%s: got %v, want ErrBroken", what, err)
		}
	}
	if got, err := s.List(ctx, queue.Filter{}, queue.Page{}); err != nil || len(got) != 1 {
		t.Errorf("List: %d messages, %v", len(got), err)
	}
}

// TestLogStaysSmall checks that the log starts again under load instead of growing.
func TestLogStaysSmall(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir, ReserveBytes: 1}) // a small reserve keeps it small
	defer mustClose(t, s)
	const total = 16 << 20
	body := make([]byte, 16<<10)
	for range total / len(body) {
		l := mustPut(t, s, body)
		if _, err := s.Delete(context.Background(), named(l), "root"); err != nil {
			t.Fatal(err)
		}
	}
	st, err := os.Stat(filepath.Join(dir, "queue.db-wal"))
	if err != nil || st.Size() > total/2 {
		t.Errorf("the log has %d bytes, %v", st.Size(), err)
	}
}

// TestLogIsRead: a reader that does not end makes the log grow, but not for ever.
func TestLogIsRead(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir, ReserveBytes: 1}) // a small reserve keeps the log small
	defer mustClose(t, s)
	mustPut(t, s, []byte("x"))
	release := s.HoldSnapshot(t)
	ids := fillUp(t, s, 8<<10)
	st, err := os.Stat(filepath.Join(dir, "queue.db-wal"))
	if err != nil || st.Size() < 2<<20 || st.Size() > 32<<20 {
		t.Errorf("the log has %d bytes after %d messages, %v", st.Size(), len(ids), err)
	}
	_, err = s.New(t.Context())
	if h, e := s.Health(t.Context()); !errors.Is(err, queue.ErrFull) || e != nil || len(h.Notes) != 1 || h.LogBytes == 0 {
		t.Errorf("New: %v; Health: %+v, %v", err, h, e)
	}
	l := claimFirst(t, s)
	if err := l.Finish(t.Context(), sent(l)); err != nil {
		t.Errorf("delivery goes on: %v", err)
	}
	release()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err = put(t, s, []byte("x")); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("after the reader has ended: %v", err)
	}
}

// TestPruneForSpace: failed mail does not hold what is reserved for delivery.
func TestPruneForSpace(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	d, err := s.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to := []envelope.Recipient{{Address: "bob@example.org"}}
	if err := d.Commit(t.Context(), queue.Accepted{Envelope: envelope.Envelope{To: to}, Parts: []queue.Part{{To: to, Lane: "main", State: envelope.Failed}}}); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	keep := queue.Keep{SentAfter: long, FailedAfter: long, FailedBytes: 1 << 30}
	if done, err := s.Prune(t.Context(), keep); err != nil || done.Messages != 0 {
		t.Errorf("with plenty of space: %+v, %v", done, err)
	}
	s.SetReserve(math.MaxInt64)
	if done, err := s.Prune(t.Context(), keep); err != nil || done.Messages != 1 {
		t.Errorf("without space: %+v, %v", done, err)
	}
}

// TestVacuum checks that space is given back.
func TestVacuum(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	var ids []string
	for range 800 {
		ids = append(ids, mustPut(t, s, make([]byte, 15<<10)))
	}
	if n, err := s.Delete(context.Background(), named(ids...), "root"); n.Messages != len(ids) || err != nil {
		t.Fatalf("Delete: %d, %v", n, err)
	}
	if _, err := s.Prune(context.Background(), queue.Keep{SentAfter: time.Now(), FailedAfter: time.Now()}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	st, err := os.Stat(filepath.Join(dir, "queue.db"))
	if err != nil || st.Size() > 6<<20 {
		t.Errorf("the database has %d bytes, %v; want those of the free pages that are kept", st.Size(), err)
	}
}

package sqlite_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// awaitAside waits until these files and no others are set aside, each with a report.
func awaitAside(t *testing.T, s *sqlite.Store, want ...string) {
	t.Helper()
	slices.Sort(want)
	var got []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		h, err := s.Health(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		names, err := filepath.Glob(filepath.Join(h.AsideDir, "*.txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			got = append(got, strings.TrimSuffix(filepath.Base(name), ".txt"))
		}
		if h.Aside == len(want) && slices.Equal(got, want) {
			return
		}
	}
	t.Errorf("set aside: %q, want %q", got, want)
}

// wantAside checks a body that was set aside, and its report.
func wantAside(t *testing.T, dir, id string, body []byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "lost+found", id+".eml"))
	if err != nil || !bytes.HasPrefix(b, body) {
		t.Errorf("%s: %d bytes that do not begin with the body, %v", id, len(b), err)
	}
	report, err := os.ReadFile(filepath.Join(dir, "lost+found", id+".eml.txt"))
	for _, want := range []string{id, "<ann@example.com> RET=HDRS ENVID=e1", "<bob@example.org> NOTIFY=NEVER ORCPT=rfc822;b@x"} {
		if err != nil || !strings.Contains(string(report), want) {
			t.Errorf("report of %s: %v\n%s\nwant %q in it", id, err, report, want)
		}
	}
}

// putFor accepts a message with all parameters of its envelope.
func putFor(t *testing.T, q queue.Queue, body []byte) string {
	t.Helper()
	d, err := q.New(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	to := []envelope.Recipient{{Address: "bob@example.org", Notify: []string{"NEVER"}, ORcpt: "rfc822;b@x"}}
	if _, err = d.Write(body); err == nil {
		err = d.Commit(context.Background(), queue.Accepted{
			Envelope: envelope.Envelope{From: "ann@example.com", Ret: "HDRS", EnvID: "e1", To: to, Received: time.Now()},
			Parts:    []queue.Part{{To: to, Lane: "main", State: envelope.Queued}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return d.ID()
}

// notClosed makes it look as if the last process had been killed.
func notClosed(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "queue.open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOrphans: bodies whose rows were lost are set aside, in files and in segments, among others that are needed.
func TestOrphans(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	file, middle, kept := putFor(t, s, bodyOf(1, 1<<20)), putFor(t, s, bodyOf(2, 100<<10)), putFor(t, s, bodyOf(3, 100<<10))
	last := putFor(t, s, bodyOf(4, 9000))
	sentFile, sentSegment := putFor(t, s, bodyOf(5, 1<<20)), putFor(t, s, bodyOf(6, 50<<10))
	for range 6 {
		l := claimFirst(t, s)
		if id := l.Message().ID; id == sentFile || id == sentSegment {
			if id == sentFile { // as if the process had died before it removed the file
				if err := os.Link(filepath.Join(dir, "bodies", id+".eml"), filepath.Join(dir, "sent")); err != nil {
					t.Skip(err)
				}
			}
			if err := l.Finish(t.Context(), sent(l)); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustClose(t, s)
	if err := os.Rename(filepath.Join(dir, "sent"), filepath.Join(dir, "bodies", sentFile+".eml")); err != nil {
		t.Fatal(err)
	}
	alter(t, dir, "DELETE FROM messages WHERE size <> 102400 OR id = (SELECT min(id) FROM messages WHERE size = 102400); DELETE FROM parts WHERE message NOT IN (SELECT id FROM messages)")
	notClosed(t, dir)
	s = openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	awaitAside(t, s, file+".eml", middle+".eml", last+".eml")
	awaitFiles(t, dir, "*.eml", 0)
	wantAside(t, dir, file, bodyOf(1, 1<<20))
	wantAside(t, dir, middle, bodyOf(2, 100<<10))
	wantAside(t, dir, last, bodyOf(4, 9000))
	wantBody(t, s, kept, bodyOf(3, 100<<10))
}

// TestNoTrailer: what an older version left may be mail that was acknowledged; later, a body without its envelope
// never was.
func TestNoTrailer(t *testing.T) {
	for version, old := range map[int]bool{2: true, 3: false, 4: false, 5: false, 6: false, 7: false} {
		dir := t.TempDir()
		s := openStore(t, queue.Settings{Dir: dir})
		id := mustPut(t, s, bodyOf(1, 1<<20))
		mustClose(t, s)
		path := filepath.Join(dir, "bodies", id+".eml")
		truncate(t, path, 1<<20)
		alter(t, dir, "DELETE FROM messages")
		alter(t, dir, backTo(version))
		notClosed(t, dir)
		s = openStore(t, queue.Settings{Dir: dir})
		awaitFiles(t, dir, "*.eml", 0)
		if old {
			awaitAside(t, s, id+".eml")
		} else {
			awaitAside(t, s)
		}
		mustClose(t, s)
	}
}

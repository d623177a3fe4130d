package sqlite_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// recoverDir recovers a state directory that does not open, and opens it.
func recoverDir(t *testing.T, dir string) (queue.Recovery, *sqlite.Store) {
	t.Helper()
	if _, err := sqlite.Open(t.Context(), queue.Settings{Dir: dir}); !errors.Is(err, queue.ErrDamagedLog) {
		t.Fatalf("Open: %v, want ErrDamagedLog", err)
	}
	r, err := sqlite.Recover(t.Context(), queue.Settings{Dir: dir}, nil)
	if err != nil {
		t.Fatalf("Recover: %v", err)
	}
	s := openStore(t, queue.Settings{Dir: dir})
	for _, name := range []string{"queue.db", "queue.open"} {
		if kept, _ := filepath.Glob(filepath.Join(dir, name+".damaged-*")); len(kept) == 0 {
			t.Errorf("%s was not kept: %q", name, r.Kept)
		}
	}
	return r, s
}

// TestRecover: every message that was accepted is back, with its bytes, or the recovery says what is missing.
func TestRecover(t *testing.T) {
	const messages = 20
	size := func(i int) int { return []int{900, 5000, 100 << 10, 300 << 10}[i%4] } // in a page, on several, in a segment, in a file
	for _, c := range []struct {
		name   string
		inRows bool // bodies in rows come back too
		damage func(t *testing.T, wal string, size int64)
	}{
		{"first frame", true, func(t *testing.T, wal string, _ int64) { flip(t, wal, 32+frameLen-1000) }},
		{"a frame in the middle", true, func(t *testing.T, wal string, size int64) { flip(t, wal, 32+(size/frameLen/2)*frameLen+3000) }},
		{"a sector", true, func(t *testing.T, wal string, size int64) {
			f, err := os.OpenFile(wal, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(bytes.Repeat([]byte{0xA5}, 512), 32+(size/frameLen/2)*frameLen+3000); err != nil {
				t.Fatal(err)
			}
		}},
		{"header", true, func(t *testing.T, wal string, _ int64) { flip(t, wal, 17) }},
		{"half cut off", false, func(t *testing.T, wal string, size int64) { truncate(t, wal, 32+(size/frameLen/2)*frameLen) }},
		{"empty", false, func(t *testing.T, wal string, _ int64) { truncate(t, wal, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, dir := t.TempDir(), t.TempDir()
			s := openStore(t, queue.Settings{Dir: from})
			bodies, gone := map[string][]byte{}, map[string]bool{}
			for i := range messages {
				body := bodyOf(i, size(i))
				id := putFor(t, s, body)
				if bodies[id] = body; i%5 == 4 { // some have been sent meanwhile
					l := claimFirst(t, s)
					if err := l.Finish(t.Context(), sent(l)); err != nil {
						t.Fatal(err)
					}
					gone[l.Message().ID] = true
				}
			}
			copyDir(t, dir, from)
			mustClose(t, s)
			wal := filepath.Join(dir, "queue.db-wal")
			st, err := os.Stat(wal)
			if err != nil {
				t.Fatal(err)
			}
			c.damage(t, wal, st.Size())
			r, s := recoverDir(t, dir)
			defer mustClose(t, s)
			checkRecovered(t, s, &r, bodies, gone, c.inRows)
		})
	}
}

func checkRecovered(t *testing.T, s *sqlite.Store, r *queue.Recovery, bodies map[string][]byte, gone map[string]bool, inRows bool) {
	t.Helper()
	list, err := s.List(t.Context(), queue.Filter{}, queue.Page{})
	if err != nil {
		t.Fatal(err)
	}
	back := map[string]queue.Message{}
	for _, m := range list {
		back[m.ID] = m
	}
	doubt := strings.Join(r.Doubt, "\n")
	missing := 0
	for id, body := range bodies {
		m, ok := back[id]
		switch {
		case ok:
			if strings.Contains(doubt, id) && gone[id] && m.Parts[0].State == envelope.Held {
				continue
			}
			wantBody(t, s, id, body)
			if m.Envelope.Ret != "HDRS" || m.Envelope.To[0].ORcpt != "rfc822;b@x" {
				t.Errorf("%s: envelope %+v", id, m.Envelope)
			}
			if inRows && gone[id] && m.Parts[0].State != envelope.Held {
				t.Errorf("%s was sent and is %s", id, m.Parts[0].State)
			}
		case gone[id] || strings.Contains(doubt, id):
		case inRows || len(body) > 8<<10:
			t.Errorf("%s of %d bytes is neither back nor in doubt", id, len(body))
		default:
			missing++
		}
	}
	for _, restored := range r.Restored {
		if m := back[restored.ID]; m.Parts == nil || m.Parts[0].State != envelope.Held {
			t.Errorf("%+v is not on hold: %+v", restored, m)
		}
	}
	if missing > 0 && !strings.Contains(doubt, "are missing") {
		t.Errorf("%d messages are missing; in doubt: %s", missing, doubt)
	}
	t.Logf("%d restored, %d missing, in doubt: %s", len(r.Restored), missing, doubt)
}

// TestRecoverKeepsSegments: the log knows that the only message of a segment which the database knows was sent. That
// does not remove the segment, for the log knows another one too.
func TestRecoverKeepsSegments(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	s := openStore(t, queue.Settings{Dir: from})
	putFor(t, s, bodyOf(0, 100<<10))
	st, err := os.Stat(filepath.Join(from, "queue.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	id := putFor(t, s, bodyOf(1, 100<<10))
	l := claimFirst(t, s)
	if err := l.Finish(t.Context(), sent(l)); err != nil {
		t.Fatal(err)
	}
	copyDir(t, dir, from)
	mustClose(t, s)
	flip(t, filepath.Join(dir, "queue.db-wal"), st.Size()+1000)
	r, s := recoverDir(t, dir)
	defer mustClose(t, s)
	checkRecovered(t, s, &r, map[string][]byte{id: bodyOf(1, 100<<10)}, nil, true)
	wantBody(t, s, id, bodyOf(1, 100<<10))
}

// TestRecoverEveryFrame: wherever a bit is wrong, everything is back.
func TestRecoverEveryFrame(t *testing.T) {
	whole, ids := killed(t, 4)
	st, err := os.Stat(filepath.Join(whole, "queue.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range st.Size() / frameLen {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(n))
		copyDir(t, dir, whole)
		flip(t, filepath.Join(dir, "queue.db-wal"), 32+n*frameLen+24+(n*977)%4096)
		_, s := recoverDir(t, dir)
		list, err := s.List(t.Context(), queue.Filter{}, queue.Page{})
		if err != nil {
			t.Fatal(err)
		}
		lost := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
			return slices.ContainsFunc(list, func(m queue.Message) bool { return m.ID == id })
		})
		if len(lost) > 0 {
			t.Errorf("frame %d: %q are lost", n, lost)
		}
		mustClose(t, s)
	}
}

// TestPutBack: what was set aside goes back by its id.
func TestPutBack(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	id := putFor(t, s, bodyOf(1, 1<<20))
	mustClose(t, s)
	alter(t, dir, "DELETE FROM messages; DELETE FROM parts")
	s = openStore(t, queue.Settings{Dir: dir})
	awaitAside(t, s, id+".eml")
	if _, err := sqlite.Recover(t.Context(), queue.Settings{Dir: dir}, []string{id}); !errors.Is(err, queue.ErrLocked) {
		t.Errorf("Recover of a queue in use: %v", err)
	}
	mustClose(t, s)
	r, err := sqlite.Recover(t.Context(), queue.Settings{Dir: dir}, []string{id})
	if err != nil || r.Damage != "" || len(r.Restored) != 1 || r.Restored[0].ID != id {
		t.Errorf("Recover: %+v, %v", r, err)
	}
	s = openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	awaitAside(t, s)
	wantBody(t, s, id, bodyOf(1, 1<<20))
	if n, err := s.Release(t.Context(), named(id), "root"); n.Messages != 1 || err != nil {
		t.Errorf("Release: %d, %v", n, err)
	}
}

// TestRecoverWholeStore: there is nothing to do, which is no failure, however quickly it is done.
func TestRecoverWholeStore(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if r, err := sqlite.Recover(t.Context(), queue.Settings{Dir: dir}, nil); err != nil || r.Damage != "" {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

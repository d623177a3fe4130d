//go:build unix

package maildrop

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
)

// TestLook: what waits is seen without a change, wherever it is: untouched, begun, or set aside.
func TestLook(t *testing.T) {
	r := newRig(t)
	if w, err := Look(r.state, 10); err != nil || w.Count != 0 || !w.Oldest.IsZero() || w.Messages != nil {
		t.Errorf("an empty one: %+v, %v", w, err)
	}
	write := func(from string, age time.Duration, list ...string) string {
		t.Helper()
		before, _ := filepath.Glob(filepath.Join(r.box.dir, "mail-*"))
		if err := Write(r.box.dir, &envelope.Envelope{From: from, To: to(list...)}, int64(len(message)), strings.NewReader(message)); err != nil {
			t.Fatal(err)
		}
		after, _ := filepath.Glob(filepath.Join(r.box.dir, "mail-*"))
		for _, path := range after {
			if !strings.Contains(strings.Join(before, " "), path) {
				at := time.Now().Add(-age)
				if err := os.Chtimes(path, at, at); err != nil {
					t.Fatal(err)
				}
				return path
			}
		}
		t.Fatal("nothing is there")
		return ""
	}
	write("new@example.com", time.Minute, "ann@example.org")
	begun := write("begun@example.com", time.Hour, "bob@example.org", "cid@example.org")
	if err := os.Rename(begun, filepath.Join(r.box.taken, filepath.Base(begun)+".1")); err != nil {
		t.Fatal(err)
	}
	refused := write("refused@example.com", 3*time.Hour, "x@example.org")
	if err := os.Rename(refused, filepath.Join(r.box.refused, filepath.Base(refused))); err != nil {
		t.Fatal(err)
	}
	broken := write("broken@example.com", 2*time.Minute, "x@example.org")
	if err := os.WriteFile(broken, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-2 * time.Minute)
	if err := errors.Join(os.Chtimes(broken, at, at), os.WriteFile(filepath.Join(r.box.dir, "part-x"), nil, 0o600), os.WriteFile(filepath.Join(r.box.dir, "other"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	w, err := Look(r.state, 10)
	if err != nil || w.Count != 3 || w.Refused != 1 || w.RefusedDir != r.box.refused || time.Since(w.Oldest).Round(time.Minute) != time.Hour || w.Bytes < int64(2*len(message)) {
		t.Fatalf("%+v, %v", w, err)
	}
	for i, want := range []struct {
		from, to string
		size     int64
	}{{"begun@example.com", "cid@example.org", int64(len(message))}, {"", "", 8}, {"new@example.com", "ann@example.org", int64(len(message))}} {
		m := w.Messages[i]
		got := ""
		for _, r := range m.Envelope.To {
			got += r.Address
		}
		if m.Envelope.From != want.from || got != want.to || m.Size != want.size || m.UID != uint32(os.Getuid()) || len(m.ID) != 13 || !strings.HasPrefix(m.ID, "mail-") {
			t.Errorf("%d: %+v to %q, want %+v", i, m, got, want)
		}
	}
	if few, err := Look(r.state, 1); err != nil || few.Count != 3 || len(few.Messages) != 1 {
		t.Errorf("the first alone: %+v, %v", few, err)
	}
	if w, err := Look(filepath.Join(r.state, "none"), 1); err != nil || w.Count != 0 {
		t.Errorf("no state: %+v, %v", w, err)
	}
	file := filepath.Join(r.state, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Look(file, 1); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file in its place: %v", err)
	}
}

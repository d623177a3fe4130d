//go:build linux || darwin || freebsd

package maildrop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
)

// TestLook: what waits is counted, what was begun included, and nothing else.
func TestLook(t *testing.T) {
	state := t.TempDir()
	if w, err := Look(state); w != (Waiting{}) || err != nil {
		t.Errorf("%+v, %v without a maildrop", w, err)
	}
	box, err := Open(state)
	if err != nil {
		t.Fatal(err)
	}
	env := &envelope.Envelope{To: []envelope.Recipient{{Address: "a@example.org"}}}
	for range 3 {
		if err := Write(box.dir, env, 1, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(box.dir, mailPrefix+"*"))
	if err != nil || len(names) != 3 {
		t.Fatal(names, err)
	}
	if err := os.Rename(names[0], filepath.Join(box.taken, filepath.Base(names[0])+".2r")); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(names[1], old, old); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"foreign", partPrefix + "x"} {
		if err := os.WriteFile(filepath.Join(box.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if w, err := Look(state); w.Count != 3 || !w.Oldest.Equal(old) || w.Bytes < 3 || err != nil {
		t.Errorf("%+v, %v", w, err)
	}
}

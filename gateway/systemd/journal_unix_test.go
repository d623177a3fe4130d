//go:build unix

package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestIsJournal: the variable is inherited by all that a service starts; only what it names is the journal.
func TestIsJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	for stream, want := range map[string]bool{"": false, fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false, "8:x": false} {
		t.Setenv("JOURNAL_STREAM", stream)
		if got := IsJournal(f); got != want {
			t.Errorf("JOURNAL_STREAM=%q: %v", stream, got)
		}
	}
	t.Setenv("JOURNAL_STREAM", "1:1")
	if err := f.Close(); err != nil || IsJournal(f) {
		t.Errorf("a closed file: %v", err)
	}
}

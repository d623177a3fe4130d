package maildrop

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mailhatch/gateway/envelope"
)

// TestDiskFull fills a file system of 4 MB.
func TestDiskFull(t *testing.T) {
	state := t.TempDir()
	if err := unix.Mount("tmpfs", state, "tmpfs", 0, "size=4m,nr_inodes=64"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(state, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	if _, err := Open(state); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(state, DirName)
	env := &envelope.Envelope{To: to("a@example.org")}
	fill := func(size int) (kept int) {
		for {
			err := Write(dir, env, int64(size), strings.NewReader(strings.Repeat("x", size)))
			if errors.Is(err, ErrFull) {
				break
			}
			if err != nil || kept > 100 {
				t.Fatalf("%d kept: %v", kept, err)
			}
			kept++
		}
		list, err := os.ReadDir(dir)
		if err != nil || len(list) != kept {
			t.Errorf("%d files for %d messages, %v", len(list), kept, err)
		}
		for _, e := range list {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		return kept
	}
	if kept := fill(1 << 20); kept != 3 {
		t.Errorf("%d messages of 1 MB, want 3", kept)
	}
	if kept := fill(10); kept < 40 || kept > 62 {
		t.Errorf("%d small messages on 64 files", kept)
	}
}

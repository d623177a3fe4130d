package bodies

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"mailhatch/gateway/queue"
)

// TestDescribeDisk: a full disk is one for the queue, too.
func TestDescribeDisk(t *testing.T) {
	full := DescribeDisk(&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})
	other := DescribeDisk(fmt.Errorf("x: %w", syscall.EIO))
	if DescribeDisk(nil) != nil || !errors.Is(full, queue.ErrFull) || errors.Is(other, queue.ErrFull) || !errors.Is(other, syscall.EIO) {
		t.Errorf("%v, %v", full, other)
	}
}

// TestSpool: a file for large mail leaves nothing behind.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	s, err := NewSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := NewSpool(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}

package sqlite_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// mountTmpfs returns an empty file system of a size, or skips the test.
func mountTmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		t.Skipf("this test mounts a tmpfs, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("umount: %v", err)
		}
	})
	return dir
}

func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
	}{{"rows", 20_000}, {"files", 300_000}} {
		t.Run(c.name, func(t *testing.T) {
			dir := mountTmpfs(t, "16m")
			s := openStore(t, queue.Settings{Dir: dir, ReserveBytes: 2 << 20})
			defer mustClose(t, s)
			ids := fillUp(t, s, c.size)
			if len(ids) < 5 {
				t.Fatalf("full after %d messages", len(ids))
			}
			messages, err := s.List(context.Background(), queue.Filter{}, queue.Page{})
			if err != nil || len(messages) != len(ids) {
				t.Fatalf("List: %d messages, %v; want %d", len(messages), err, len(ids))
			}
			for range ids { // the reserve is for delivery
				leases, err := s.Claim(context.Background(), "main", 1, 1<<40)
				if err != nil || len(leases) != 1 {
					t.Fatalf("Claim: %d, %v", len(leases), err)
				}
				if err := leases[0].Finish(context.Background(), sent(leases[0])); err != nil {
					t.Fatalf("Finish: %v", err)
				}
			}
		})
	}
}

func TestNoReserveDiskFull(t *testing.T) {
	dir := mountTmpfs(t, "8m")
	s := openStore(t, queue.Settings{Dir: dir})
	defer s.Close()
	ids := fillUp(t, s, 300_000)
	if _, err := s.New(context.Background()); err != nil && !errors.Is(err, queue.ErrFull) {
		t.Errorf("New: %v", err)
	}
	ids = append(ids, fillUp(t, s, 10_000)...)
	if got, err := s.List(context.Background(), queue.Filter{}, queue.Page{}); err != nil || len(got) != len(ids) {
		t.Errorf("List: %d messages, %v; want %d", len(got), err, len(ids))
	}
	if err := s.Err(); err != nil {
		t.Errorf("a full disk broke the store: %v", err)
	}
}

// TestReadOnlyMount uses a file system that nobody can write to, root neither.
func TestReadOnlyMount(t *testing.T) {
	dir := mountTmpfs(t, "64m")
	s := openStore(t, queue.Settings{Dir: dir})
	small, large := fillState(t, s)
	mustClose(t, s)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("remount: %v", err)
	}
	checkReadOnly(t, dir, small, large)
	if _, err := sqlite.Open(context.Background(), queue.Settings{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open: %v, want an error with the directory", err)
	}
}

// TestReadOnlyMountLog is the same with a log that must be read.
func TestReadOnlyMountLog(t *testing.T) {
	from, dir := t.TempDir(), mountTmpfs(t, "64m")
	s := openStore(t, queue.Settings{Dir: from})
	defer mustClose(t, s)
	small, large := fillState(t, s)
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("remount: %v", err)
	}
	checkReadOnly(t, dir, small, large)
}

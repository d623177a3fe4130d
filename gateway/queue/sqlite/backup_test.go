package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/gateway/queue"
)

// TestBackupOfWhatIsMissing: a body that is gone is told, and no half copy is left.
func TestBackupOfWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	id := mustPut(t, s, bodyOf(1, 1<<20))
	path := filepath.Join(dir, "bodies", id+".eml")
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := s.Backup(context.Background(), to); err == nil || !strings.Contains(err.Error(), id) {
		t.Errorf("Backup: %v", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(context.Background(), to); err != nil {
		t.Error(err)
	}
	wantBody(t, s, id, bodyOf(1, 1<<20))
}

// TestEndDuringBackup: what ends while a copy is made goes when that is done.
func TestEndDuringBackup(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, queue.Settings{Dir: dir})
	defer mustClose(t, s)
	large, middling := mustPut(t, s, bodyOf(1, 1<<20)), mustPut(t, s, bodyOf(2, 100<<10))
	end := s.HoldBodies()
	for range 2 {
		l := claimFirst(t, s)
		if err := l.Finish(context.Background(), sent(l)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(bodyFiles(t, dir, "*.eml")); n != 1 {
		t.Errorf("%d files of %s are there while a backup runs", n, large)
	}
	end()
	awaitFiles(t, dir, "*.eml", 0)
	if _, err := s.Body(context.Background(), middling); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("Body: %v", err)
	}
}

package gateway

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/queue"
)

// TestBackupSpace: a copy that would leave too little for new mail is not begun, nor is one beside another.
func TestBackupSpace(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "queue.db"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := enoughFor(dir, 0); err != nil {
		t.Errorf("there is space: %v", err)
	}
	if err := enoughFor(dir, math.MaxInt64/2); !errors.Is(err, queue.ErrFull) {
		t.Errorf("there is none: %v", err)
	}
	g := &Gateway{}
	g.backups.Lock()
	if err := g.backup(t.Context(), io.Discard); !errors.Is(err, admin.ErrBusy) {
		t.Errorf("%v", err)
	}
}

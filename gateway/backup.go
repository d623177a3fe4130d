package gateway

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/backup"
	"mailhatch/gateway/queue/sqlite/disk"
)

// backup writes a backup of the state: first a copy beside it, which takes as much space.
func (g *Gateway) backup(ctx context.Context, w io.Writer) error {
	if !g.backups.TryLock() {
		return admin.ErrBusy
	}
	defer g.backups.Unlock()
	cfg := g.current.Load()
	if err := enoughFor(cfg.StateDir, int64(cfg.Queue.MinFree)); err != nil {
		return err
	}
	return backup.Write(ctx, w, g.queue.Backup, cfg.StateDir, cfg.StateDir)
}

// enoughFor refuses a copy of a directory beside it that would leave less than so many bytes.
func enoughFor(dir string, reserve int64) error {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what goes meanwhile needs no space
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		return err
	}
	space := disk.NewSpace(dir, 0)
	space.SetReserve(max(reserve, 1))
	if err := space.CheckNow(size); err != nil {
		return fmt.Errorf("a backup is made beside the store first, which has %d bytes: %w", size, err)
	}
	return nil
}

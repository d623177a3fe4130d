// Package disk is what the queue needs of the file system: stable storage, locks, the identity of open files, and
// enough free space.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"mailhatch/gateway/queue"
)

// Same compares the file of that name with the one that had it first.
func Same(path string, first *os.FileInfo) error {
	now, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && *first != nil:
		return fmt.Errorf("%s was removed while it was in use", path)
	case err != nil:
		return err
	case *first == nil:
		*first = now
	case !os.SameFile(*first, now):
		return fmt.Errorf("%s was replaced while it was in use", path)
	}
	return nil
}

// Describe makes an error of a body file one of the queue.
func Describe(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", queue.ErrFull, err)
	}
	return fmt.Errorf("queue: %w", err)
}

// Settle puts a complete file on stable storage under its name.
func Settle(draft, path string) error {
	f, err := os.OpenFile(draft, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Copy copies a file, if there is one, and puts the copy on stable storage.
func Copy(to, from string) error {
	src, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // it was only read
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}

//go:build unix

package maildrop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// create makes a file that the gateway, whose directory dir describes, can read.
func create(path string, dir fs.FileInfo) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Chmod(fileMode(statOf(info), statOf(dir)))
	}
	if err != nil {
		_ = f.Close()
		return nil, errors.Join(err, os.Remove(path))
	}
	return f, nil
}

// fileMode lets the owner of the directory read a file, and as few others as can be.
func fileMode(file, dir *syscall.Stat_t) fs.FileMode {
	switch {
	case file.Uid == dir.Uid:
		return 0o600
	case file.Gid == dir.Gid:
		return 0o640
	}
	return 0o644 // what protects it is its name
}

func statOf(info fs.FileInfo) *syscall.Stat_t { return info.Sys().(*syscall.Stat_t) }

// checkSpace refuses a message that would leave too little to the gateway.
func checkSpace(dir string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	block, free := uint64(st.Bsize), uint64(max(0, int64(st.Bavail)))
	total := uint64(st.Blocks) * block
	if free*block < uint64(size)+min(reserveBytes, total/20) {
		return fmt.Errorf("%w: %d bytes are free, too few for a message of %d", ErrFull, free*block, size)
	}
	files, left := uint64(st.Files), uint64(max(0, int64(st.Ffree)))
	if files > 0 && left < min(reserveFiles, files/20) { // 0: the file system does not count them
		return fmt.Errorf("%w: only %d files can be made", ErrFull, left)
	}
	return nil
}

// mayWrite asks the system whether this account, in its view of the file system, can make files in dir.
func mayWrite(dir string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "access", Path: dir, Err: err}
	}
	return nil
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// syncEntry brings the name of f in dir to stable storage. Most accounts cannot open the maildrop
// to fsync it; for them the file system as a whole is synced, where that can be asked for.
func syncEntry(dir string, f *os.File) error {
	d, err := os.Open(dir)
	if err != nil {
		return syncFileSystem(f)
	}
	defer d.Close()
	return d.Sync()
}

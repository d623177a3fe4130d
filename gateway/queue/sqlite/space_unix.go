//go:build linux || darwin || freebsd

package sqlite

import (
	"errors"

	"golang.org/x/sys/unix"
)

// freeBytes says how many bytes the file system of dir has left for us.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// isFull says whether err means that there is no space left.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

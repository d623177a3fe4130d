//go:build darwin || freebsd

package machine

import "golang.org/x/sys/unix"

// fileSystem returns the kind of file system that dir is on, and its free bytes.
func fileSystem(dir string) (kind string, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", 0, err
	}
	return unix.ByteSliceToString(st.Fstypename[:]), int64(st.Bavail) * int64(st.Bsize), nil
}

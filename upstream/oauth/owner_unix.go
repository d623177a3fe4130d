//go:build unix

package oauth

import (
	"errors"
	"os"
	"syscall"
)

func isRoot() bool { return os.Geteuid() == 0 }

// owner gives a file to the owner of its directory: root may log in for the service.
func owner(dir, file string) {
	if !isRoot() {
		return
	}
	if st, err := os.Stat(dir); err == nil {
		if s, ok := st.Sys().(*syscall.Stat_t); ok {
			_ = os.Chown(file, int(s.Uid), int(s.Gid)) // root reads it in any case
		}
	}
}

// syncDir makes a new name in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // nothing was written to it
	return d.Sync()
}

// lockFile locks an open file, and reports whether nobody else has it. It is free again once the file is closed, by
// whatever end of the process.
func lockFile(f *os.File) bool {
	return !errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

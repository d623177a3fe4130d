package sqlite

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData puts the bytes and the length of f on stable storage.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// SyncData puts the bytes and the length of f on stable storage.
func SyncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

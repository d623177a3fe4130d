package host

import "syscall"

// FreeSpace is what is left on the disk of dir for a user, bytes.
func FreeSpace(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// Settle has all that was written reach the disk.
func Settle() { syscall.Sync() }

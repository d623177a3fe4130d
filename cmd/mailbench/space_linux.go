package main

import "syscall"

// freeSpace is what is left on the disk of dir for a user, bytes.
func freeSpace(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// settle has all that was written reach the disk.
func settle() { syscall.Sync() }

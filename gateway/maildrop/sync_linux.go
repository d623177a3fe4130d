package maildrop

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFileSystem brings all of f's file system to stable storage (syncfs(2)).
func syncFileSystem(f *os.File) error { return unix.Syncfs(int(f.Fd())) }

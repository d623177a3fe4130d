//go:build unix && !linux

package maildrop

import "os"

// syncFileSystem relies on fsync, which keeps the names of a file safe with it on these systems'
// own file systems.
func syncFileSystem(f *os.File) error { return f.Sync() }

//go:build !linux

package sqlite

import "os"

// syncData puts the bytes and the length of f on stable storage.
func syncData(f *os.File) error { return f.Sync() }

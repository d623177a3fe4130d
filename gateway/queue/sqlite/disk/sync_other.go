//go:build !linux

package disk

import "os"

// SyncData puts the bytes and the length of f on stable storage.
func SyncData(f *os.File) error { return f.Sync() }

package sqlite

import "os"

// SyncData is syncData for the benchmarks.
func SyncData(f *os.File) error { return syncData(f) }

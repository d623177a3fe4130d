package bodies

import (
	"os"
	"path/filepath"
)

// Found are the body files and segments of former processes.
type Found struct {
	Files    []int64 // ids of messages
	Segments []int64 // numbers
}

// List finds the bodies that are in files, and the segments.
func List(dir string) (found Found, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, DirName))
	for _, e := range entries {
		if id, ok := ID(e.Name()); ok && e.Type().IsRegular() {
			found.Files = append(found.Files, id)
		}
		if n, ok := SegmentNumber(e.Name()); ok && e.Type().IsRegular() {
			found.Segments = append(found.Segments, n)
		}
	}
	return found, err
}

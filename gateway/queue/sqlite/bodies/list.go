package bodies

import (
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
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

// Scan reads the columns size, crc and body from col on.
func Scan(s *sqlite.Stmt, id int64, col int) Stored {
	b := Stored{ID: id, Size: s.ColumnInt64(col), CRC: uint32(s.ColumnInt64(col + 1))}
	switch s.ColumnType(col + 2) {
	case sqlite.TypeNull:
		b.At = InFile
	case sqlite.TypeInteger:
		b.At = Place(s.ColumnInt64(col + 2))
	default:
		b.Inline = make([]byte, s.ColumnLen(col+2))
		s.ColumnBytes(col+2, b.Inline)
	}
	return b
}

// Package bodies is where bodies are that are not in rows: in files of their own and in segments. It names, lists,
// reads and verifies them.
package bodies

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"mailhatch/gateway/queue"
)

const (
	DirName   = "bodies"  // the folder, in the state directory
	Suffix    = ".eml"    // of the files
	readChunk = 128 << 10 // bytes read at once when a body is verified
)

// Castagnoli is the polynomial of the checksums, which processors have an instruction for.
func Castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// memoryBody is a body that is held in memory.
type memoryBody struct{ *bytes.Reader }

func (memoryBody) Close() error { return nil }

// File is a body in a file, behind which stands its trailer.
type File struct {
	*io.SectionReader
	file *os.File
}

// NewFile returns the body in the first size bytes of f.
func NewFile(f *os.File, size int64) File {
	return File{io.NewSectionReader(f, 0, size), f}
}

// Close closes the file.
func (b File) Close() error { return b.file.Close() }

// Path is the file of a message whose body is not in its row.
func Path(dir string, id int64) string {
	return filepath.Join(dir, DirName, queue.FormatID(id)+Suffix)
}

// ID returns the id in the name of a body file and reports whether it is one.
func ID(name string) (int64, bool) {
	stem, ok := strings.CutSuffix(name, Suffix)
	if !ok || stem != strings.ToUpper(stem) {
		return 0, false
	}
	return queue.ParseID(stem)
}

// Stored is what the row of a message knows of its body.
type Stored struct {
	ID, Size int64
	CRC      uint32
	At       Place
	Inline   []byte // where it is in the row
}

// Open returns the body after comparing it with its checksum. A damaged one is an error that wraps
// queue.ErrDamaged and names the file.
func (b *Stored) Open(dir, db string) (queue.Body, error) {
	switch {
	case b.At == InFile:
		return b.openFile(Path(dir, b.ID))
	case b.At.InSegment():
		return b.openSegment(SegmentPath(dir, b.At.Segment()))
	}
	if int64(len(b.Inline)) != b.Size || crc32.Checksum(b.Inline, Castagnoli()) != b.CRC {
		return nil, fmt.Errorf("%w: %s, message %s", queue.ErrDamaged, db, queue.FormatID(b.ID))
	}
	return memoryBody{bytes.NewReader(b.Inline)}, nil
}

// openSegment reads the body from its segment: it is not large.
func (b *Stored) openSegment(path string) (queue.Body, error) {
	f, err := openKept(path, b.ID)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if b.Size < 0 || b.Size > SegmentLimit {
		return nil, fmt.Errorf("%w: message %s: %d bytes in %s", queue.ErrDamaged, queue.FormatID(b.ID), b.Size, path)
	}
	p := make([]byte, b.Size)
	if _, err := f.ReadAt(p, b.At.Offset()); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", path, err)
	} else if err == io.EOF {
		return nil, fmt.Errorf("%w: message %s: %s is cut off", queue.ErrDamaged, queue.FormatID(b.ID), path)
	}
	if crc32.Checksum(p, Castagnoli()) != b.CRC {
		return nil, fmt.Errorf("%w: message %s in %s does not match its checksum", queue.ErrDamaged, queue.FormatID(b.ID), path)
	}
	return memoryBody{bytes.NewReader(p)}, nil
}

// openKept opens a file that a row names.
func openKept(path string, id int64) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: message %s: %s is missing: %w", queue.ErrDamaged, queue.FormatID(id), path, os.ErrNotExist)
	}
	return f, err
}

func (b *Stored) openFile(path string) (_ queue.Body, err error) {
	f, err := openKept(path, b.ID)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() < b.Size {
		return nil, fmt.Errorf("%w: %s has %d bytes instead of %d", queue.ErrDamaged, path, st.Size(), b.Size)
	}
	sum := crc32.New(Castagnoli())
	if _, err := io.CopyBuffer(sum, io.NewSectionReader(f, 0, b.Size), make([]byte, min(b.Size, readChunk)+1)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if sum.Sum32() != b.CRC {
		return nil, fmt.Errorf("%w: %s does not match its checksum", queue.ErrDamaged, path)
	}
	return NewFile(f, b.Size), nil
}

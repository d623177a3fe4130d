package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
)

const (
	bodiesDir  = "bodies"
	bodySuffix = ".eml"
	readChunk  = 128 << 10 // bytes read at once when a body is verified
)

// castagnoli is the polynomial of the checksums, which processors have an instruction for.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// memoryBody is a body that is held in memory.
type memoryBody struct{ *bytes.Reader }

func (memoryBody) Close() error { return nil }

// fileBody is a body in a file, behind which stands its trailer.
type fileBody struct {
	*io.SectionReader
	file *os.File
}

func newFileBody(f *os.File, size int64) fileBody {
	return fileBody{io.NewSectionReader(f, 0, size), f}
}

func (b fileBody) Close() error { return b.file.Close() }

// bodyPath is the file of a message whose body is not in its row.
func bodyPath(dir string, id int64) string {
	return filepath.Join(dir, bodiesDir, queue.FormatID(id)+bodySuffix)
}

// bodyID returns the id in the name of a body file and reports whether it is one.
func bodyID(name string) (int64, bool) {
	stem, ok := strings.CutSuffix(name, bodySuffix)
	if !ok || stem != strings.ToUpper(stem) {
		return 0, false
	}
	return queue.ParseID(stem)
}

// storedBody is what the row of a message knows of its body.
type storedBody struct {
	id, size int64
	crc      uint32
	at       bodyPlace
	inline   []byte
}

// scanBody reads the columns size, crc and body from col on.
func scanBody(s *sqlite.Stmt, id int64, col int) storedBody {
	b := storedBody{id: id, size: s.ColumnInt64(col), crc: uint32(s.ColumnInt64(col + 1))}
	switch s.ColumnType(col + 2) {
	case sqlite.TypeNull:
		b.at = inFile
	case sqlite.TypeInteger:
		b.at = bodyPlace(s.ColumnInt64(col + 2))
	default:
		b.inline = make([]byte, s.ColumnLen(col+2))
		s.ColumnBytes(col+2, b.inline)
	}
	return b
}

// open returns the body after comparing it with its checksum. A damaged one is an error that wraps
// queue.ErrDamaged and names the file.
func (b *storedBody) open(dir, db string) (queue.Body, error) {
	switch {
	case b.at == inFile:
		return b.openFile(bodyPath(dir, b.id))
	case b.at.inSegment():
		return b.openSegment(segmentPath(dir, b.at.segment()))
	}
	if int64(len(b.inline)) != b.size || crc32.Checksum(b.inline, castagnoli()) != b.crc {
		return nil, fmt.Errorf("%w: %s, message %s", queue.ErrDamaged, db, queue.FormatID(b.id))
	}
	return memoryBody{bytes.NewReader(b.inline)}, nil
}

// openSegment reads the body from its segment: it is not large.
func (b *storedBody) openSegment(path string) (queue.Body, error) {
	f, err := openKept(path, b.id)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if b.size < 0 || b.size > segmentLimit {
		return nil, fmt.Errorf("%w: message %s: %d bytes in %s", queue.ErrDamaged, queue.FormatID(b.id), b.size, path)
	}
	p := make([]byte, b.size)
	if _, err := f.ReadAt(p, b.at.offset()); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", path, err)
	} else if err == io.EOF {
		return nil, fmt.Errorf("%w: message %s: %s is cut off", queue.ErrDamaged, queue.FormatID(b.id), path)
	}
	if crc32.Checksum(p, castagnoli()) != b.crc {
		return nil, fmt.Errorf("%w: message %s in %s does not match its checksum", queue.ErrDamaged, queue.FormatID(b.id), path)
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

func (b *storedBody) openFile(path string) (_ queue.Body, err error) {
	f, err := openKept(path, b.id)
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
	if st.Size() < b.size {
		return nil, fmt.Errorf("%w: %s has %d bytes instead of %d", queue.ErrDamaged, path, st.Size(), b.size)
	}
	sum := crc32.New(castagnoli())
	if _, err := io.CopyBuffer(sum, io.NewSectionReader(f, 0, b.size), make([]byte, min(b.size, readChunk)+1)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if sum.Sum32() != b.crc {
		return nil, fmt.Errorf("%w: %s does not match its checksum", queue.ErrDamaged, path)
	}
	return newFileBody(f, b.size), nil
}

// body opens the bytes of a message in the queue. It looks again where a body was moved meanwhile.
func (r *reader) body(ctx context.Context, id int64) (queue.Body, error) {
	var at bodyPlace
	for {
		stored, err := r.stored(ctx, id)
		if err != nil {
			return nil, err
		}
		b, err := stored.open(r.dir, r.path)
		if !errors.Is(err, os.ErrNotExist) || stored.at == at {
			return b, err
		}
		at = stored.at
	}
}

// stored reads where a body is, or the body.
func (r *reader) stored(ctx context.Context, id int64) (stored storedBody, err error) {
	found := false
	err = r.use(ctx, func(conn *sqlite.Conn) error {
		return database.Rows(conn, "SELECT size, crc, body FROM messages WHERE id = ?",
			database.Args{id},
			func(s *sqlite.Stmt) (bool, error) {
				found, stored = true, scanBody(s, id, 0)
				return false, nil
			})
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: %s", queue.ErrNotFound, queue.FormatID(id))
	}
	return stored, err
}

// Body opens the bytes of a message in the queue. The error wraps queue.ErrNotFound, or
// queue.ErrDamaged with the name of the file when the bytes are not those that were accepted.
func (r *reader) Body(ctx context.Context, id string) (queue.Body, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	n, ok := queue.ParseID(id)
	if !ok {
		return nil, fmt.Errorf("%w: %q", queue.ErrNotFound, id)
	}
	return r.body(ctx, n)
}

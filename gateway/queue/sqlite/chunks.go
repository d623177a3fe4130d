package sqlite

import (
	"io"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

const (
	chunkSize   = 16 << 10 // bytes of memory that a draft takes at a time
	draftMemory = 8 << 20  // bytes that all drafts together hold beyond their first chunk
)

type chunk [chunkSize]byte

// chunks lends drafts their memory. Beyond the first chunk of each it is limited, so that many slow
// clients with large mail do not add up: who gets none writes to a file.
type chunks struct {
	pool sync.Pool // of *chunk
	left atomic.Int64
}

// newChunks has at most a 16th of the memory that the process may use (GOMEMLIMIT).
func newChunks() *chunks {
	c := &chunks{pool: sync.Pool{New: func() any { return new(chunk) }}}
	limit := int64(draftMemory)
	if most := debug.SetMemoryLimit(-1); most < math.MaxInt64 {
		limit = min(limit, most/16)
	}
	c.left.Store(limit)
	return c
}

// more gives a further chunk, or nil when there is none to have.
func (c *chunks) more() *chunk {
	if c.left.Add(-chunkSize) < 0 {
		c.left.Add(chunkSize)
		return nil
	}
	return c.pool.Get().(*chunk)
}

// memory is what a draft holds in memory: list is full but for its last chunk.
type memory struct {
	from *chunks
	list []*chunk
	size int // bytes
}

func newMemory(from *chunks) memory {
	return memory{from: from, list: []*chunk{from.pool.Get().(*chunk)}}
}

// free gives the room that is left in the last chunk.
func (m *memory) free() []byte {
	last := len(m.list) - 1
	return m.list[last][m.size-last*chunkSize:]
}

// grow adds a chunk and says whether there was one.
func (m *memory) grow() bool {
	c := m.from.more()
	if c == nil {
		return false
	}
	m.list = append(m.list, c)
	return true
}

// shrink keeps that many chunks, without their bytes.
func (m *memory) shrink(keep int) {
	m.size = 0
	for i := len(m.list) - 1; i >= keep; i-- {
		m.from.pool.Put(m.list[i])
		m.list[i] = nil
		if i > 0 {
			m.from.left.Add(chunkSize)
		}
	}
	m.list = m.list[:keep]
}

// each calls f with the bytes, piece by piece.
func (m *memory) each(f func(p []byte) error) error {
	for i, c := range m.list {
		if p := c[:max(0, min(chunkSize, m.size-i*chunkSize))]; len(p) > 0 {
			if err := f(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// whole gives the bytes of a memory of one chunk.
func (m *memory) whole() []byte { return m.list[0][:m.size] }

// memoryView reads the bytes that a memory has now.
type memoryView struct {
	list []*chunk
	size int64
}

func (v memoryView) Size() int64  { return v.size }
func (v memoryView) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (v memoryView) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, io.EOF
	}
	for n < len(p) && off < v.size {
		c := v.list[off/chunkSize]
		m := copy(p[n:], c[off%chunkSize:min(chunkSize, v.size-off/chunkSize*chunkSize)])
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Package buffer lends messages that are being written their memory, all of them from one limit.
package buffer

import (
	"io"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

const (
	ChunkSize = 16 << 10 // bytes that a buffer takes at a time
	maxBytes  = 8 << 20  // that all buffers of a pool together hold beyond their first chunks
)

type chunk [ChunkSize]byte

// Pool lends memory. Beyond the first chunk of each buffer it is limited, so that many slow clients with
// large mail do not add up: who gets none writes to a file.
type Pool struct {
	pool sync.Pool // of *chunk
	left atomic.Int64
}

// NewPool returns a pool that lends at most a 16th of the memory that the process may use (GOMEMLIMIT).
func NewPool() *Pool {
	c := &Pool{pool: sync.Pool{New: func() any { return new(chunk) }}}
	limit := int64(maxBytes)
	if most := debug.SetMemoryLimit(-1); most < math.MaxInt64 {
		limit = min(limit, most/16)
	}
	c.left.Store(limit)
	return c
}

// Left returns how many bytes the pool lends beyond first chunks now.
func (c *Pool) Left() int64 { return c.left.Load() }

// more returns a further chunk, or nil when there is none to have.
func (c *Pool) more() *chunk {
	if c.left.Add(-ChunkSize) < 0 {
		c.left.Add(ChunkSize)
		return nil
	}
	return c.pool.Get().(*chunk)
}

// Buffer holds bytes in chunks, which are full but for the last.
type Buffer struct {
	from *Pool
	list []*chunk
	size int
}

// Buffer returns an empty buffer of one chunk.
func (c *Pool) Buffer() Buffer { return Buffer{from: c, list: []*chunk{c.pool.Get().(*chunk)}} }

// Len is the number of bytes, Chunks that of chunks.
func (m *Buffer) Len() int    { return m.size }
func (m *Buffer) Chunks() int { return len(m.list) }

// Add counts n bytes that were put into Free.
func (m *Buffer) Add(n int) { m.size += n }

// Free returns the room that is left in the last chunk.
func (m *Buffer) Free() []byte {
	last := len(m.list) - 1
	return m.list[last][m.size-last*ChunkSize:]
}

// Grow adds a chunk and reports whether there was one.
func (m *Buffer) Grow() bool {
	c := m.from.more()
	if c == nil {
		return false
	}
	m.list = append(m.list, c)
	return true
}

// Shrink keeps that many chunks, without their bytes.
func (m *Buffer) Shrink(keep int) {
	m.size = 0
	for i := len(m.list) - 1; i >= keep; i-- {
		m.from.pool.Put(m.list[i])
		m.list[i] = nil
		if i > 0 {
			m.from.left.Add(ChunkSize)
		}
	}
	m.list = m.list[:keep]
}

// Write copies p into the memory that room returns, and calls took with each piece.
func Write(p []byte, room func() ([]byte, error), took func([]byte)) (n int, err error) {
	for n < len(p) {
		to, err := room()
		if err != nil {
			return n, err
		}
		to = to[:copy(to, p[n:])]
		took(to)
		n += len(to)
	}
	return n, nil
}

// ReadFrom reads all of r into the memory that room returns, without a buffer between, and calls took with each piece.
func ReadFrom(r io.Reader, room func() ([]byte, error), took func([]byte)) (total int64, err error) {
	for {
		to, err := room()
		if err != nil {
			return total, err
		}
		n, err := r.Read(to)
		took(to[:n])
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Each calls f with the bytes, piece by piece.
func (m *Buffer) Each(f func(p []byte) error) error {
	for i, c := range m.list {
		if p := c[:max(0, min(ChunkSize, m.size-i*ChunkSize))]; len(p) > 0 {
			if err := f(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// Whole returns the bytes of a buffer of one chunk.
func (m *Buffer) Whole() []byte { return m.list[0][:m.size] }

// View returns a reader of the bytes that the buffer has now. It is valid until the buffer changes.
func (m *Buffer) View() View { return View{m.list, int64(m.size)} }

// View implements queue.Body.
type View struct {
	list []*chunk
	size int64
}

// Size returns the number of bytes.
func (v View) Size() int64 { return v.size }

// Close does nothing.
func (v View) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (v View) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, io.EOF
	}
	for n < len(p) && off < v.size {
		c := v.list[off/ChunkSize]
		m := copy(p[n:], c[off%ChunkSize:min(ChunkSize, v.size-off/ChunkSize*ChunkSize)])
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

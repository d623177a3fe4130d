package mime

import (
	"bufio"
	"bytes"
	"io"
	"sort"
)

// Source is where the bytes of a message are. It does not change while a message uses it.
type Source interface {
	io.ReaderAt
	Size() int64
}

// NewBytesSource returns a source of bytes in memory, which must not be changed afterwards.
func NewBytesSource(b []byte) Source { return bytes.NewReader(b) }

// Section returns n bytes of src from offset on.
func Section(src Source, offset, n int64) Source { return io.NewSectionReader(src, offset, n) }

// Concat returns the bytes of several sources one after the other.
func Concat(sources ...Source) Source {
	c := &concat{}
	for _, s := range sources {
		if s.Size() == 0 {
			continue
		}
		c.starts = append(c.starts, c.size)
		c.sources = append(c.sources, s)
		c.size += s.Size()
	}
	return c
}

type concat struct {
	sources []Source
	starts  []int64 // where each source starts
	size    int64
}

func (c *concat) Size() int64 { return c.size }

// ReadAt implements io.ReaderAt.
func (c *concat) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	i := sort.Search(len(c.starts), func(i int) bool { return c.starts[i] > off }) - 1
	done := 0
	for ; i < len(c.sources) && done < len(p); i++ {
		at := off + int64(done) - c.starts[i]
		want := min(int64(len(p)-done), c.sources[i].Size()-at)
		n, err := c.sources[i].ReadAt(p[done:done+int(want)], at)
		done += n
		if int64(n) < want {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF // the source is shorter than its size
			}
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// line is a line of a source, or a piece of one that is longer than the buffer. bytes are valid
// until the next call of next.
type line struct {
	bytes []byte
	start int64
	first bool // the line starts here, not in an earlier piece
}

func (l line) end() int64 { return l.start + int64(len(l.bytes)) }

// endLength is the length of the line end: CRLF, LF or none.
func (l line) endLength() int64 {
	n := len(l.bytes)
	switch {
	case n == 0 || l.bytes[n-1] != '\n':
		return 0
	case n > 1 && l.bytes[n-2] == '\r':
		return 2
	}
	return 1
}

// lineReader reads a source line by line in constant memory.
type lineReader struct {
	r       *bufio.Reader
	pos     int64
	inside  bool // the next piece continues a line
	last    line
	pending bool // last is to be given again
}

// Sizes of the buffer, which is also the longest piece of a line.
const (
	headerBuffer = 1 << 10 // more than most headers have
	lineBuffer   = 64 << 10
)

const partRoom = 256 // bytes; more than most headers of parts have

func newLineReader(src Source, buffer int) lineReader {
	size := min(int64(buffer), src.Size()+1)
	return lineReader{r: bufio.NewReaderSize(io.NewSectionReader(src, 0, src.Size()), int(size))}
}

// next returns the next line; io.EOF at the end.
func (l *lineReader) next() (line, error) {
	if l.pending {
		l.pending = false
		return l.last, nil
	}
	b, err := l.r.ReadSlice('\n')
	if len(b) == 0 && err != nil {
		return line{start: l.pos}, err
	}
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return line{start: l.pos}, err
	}
	l.last = line{bytes: b, start: l.pos, first: !l.inside}
	l.inside = err == bufio.ErrBufferFull
	l.pos += int64(len(b))
	return l.last, nil
}

// unread returns the last line again.
func (l *lineReader) unread() { l.pending = true }

package mime

import (
	"bufio"
	"io"
)

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

// next gives the next line; io.EOF at the end.
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

// unread gives the last line again.
func (l *lineReader) unread() { l.pending = true }

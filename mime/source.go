package mime

import (
	"bytes"
	"io"
	"sort"
)

// Source is where the bytes of a message are. It does not change while a message uses it.
type Source interface {
	io.ReaderAt
	Size() int64
}

// NewBytesSource gives a source of bytes in memory, which must not be changed afterwards.
func NewBytesSource(b []byte) Source { return bytes.NewReader(b) }

// Section gives n bytes of src from offset on.
func Section(src Source, offset, n int64) Source { return io.NewSectionReader(src, offset, n) }

// Concat gives the bytes of several sources one after the other.
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
				err = io.ErrUnexpectedEOF // the source is shorter than it said
			}
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

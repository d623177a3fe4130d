// Package flowed reads text/plain with format=flowed (RFC 3676) for those who cannot be told of that label.
package flowed

import (
	"bufio"
	"bytes"
	"io"
)

// NewReader returns a reader of text with each paragraph on one line: the soft line breaks of r are undone and
// stuffed spaces removed; with delSp the space before a soft break goes too (RFC 3676 4.1). Lines of other quote
// depths, signature separators and line ends stay. Quoted lines keep their marks as they are.
func NewReader(r io.Reader, delSp bool) io.Reader {
	return &reader{r: bufio.NewReaderSize(r, pieceSize), delSp: delSp}
}

const pieceSize = 16 << 10 // bytes of a line that are looked at in one go

type reader struct {
	r     *bufio.Reader
	delSp bool

	inside bool   // the next piece goes on with a line
	sig    bool   // the line may be the separator of a signature
	held   []byte // end of the last piece: what it means shows in the next one
	soft   []byte // line end of a soft break, which is a hard one where the quote depth changes; nil for none
	depth  int    // of the line before
	out    []byte
	err    error
}

// Read implements io.Reader.
func (f *reader) Read(p []byte) (int, error) {
	for len(f.out) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		f.piece()
	}
	n := copy(p, f.out)
	f.out = f.out[n:]
	return n, nil
}

// piece takes the next line, or as much of it as the buffer holds.
func (f *reader) piece() {
	b, err := f.r.ReadSlice('\n')
	f.out = f.out[:0]
	if err != nil && err != bufio.ErrBufferFull {
		f.err = err
	}
	if !f.inside && len(b) > 0 {
		b = f.start(b)
	}
	ended := err != bufio.ErrBufferFull
	f.inside = !ended
	if len(f.held) > 0 {
		b = append(f.held, b...)
		f.held = nil
	}
	if !ended { // what may be a space before a line end waits for it
		n := len(bytes.TrimRight(b, " \r"))
		n = max(n, len(b)-2)
		f.held = bytes.Clone(b[n:])
		f.sig = f.sig && n == 0
		f.out = append(f.out, b[:n]...)
		return
	}
	text := bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(text) < len(b) && bytes.HasSuffix(text, []byte(" ")) && !(f.sig && string(text) == "-- ") {
		f.soft = append(f.soft[:0], b[len(text):]...)
		if f.delSp {
			text = text[:len(text)-1]
		}
		b = text
	}
	f.out = append(f.out, b...)
}

// start takes quote marks and stuffing off the start of a line, where the line does not go on with the one before.
func (f *reader) start(b []byte) []byte {
	depth := 0
	for depth < len(b) && b[depth] == '>' {
		depth++
	}
	text := b[depth:]
	if len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	goesOn := f.soft != nil && depth == f.depth && !isSeparator(text)
	if f.soft != nil && !goesOn {
		f.out = append(f.out, f.soft...)
	}
	f.soft, f.depth, f.sig = nil, depth, !goesOn
	if !goesOn {
		f.out = append(f.out, b[:depth]...)
		if depth > 0 && len(text) < len(b)-depth {
			f.out = append(f.out, ' ')
		}
	}
	return text
}

// isSeparator reports whether a line separates a signature (RFC 3676 4.3): it is never part of a paragraph.
func isSeparator(text []byte) bool {
	return string(bytes.TrimRight(text, "\r\n")) == "-- "
}

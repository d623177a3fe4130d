package transfer

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"sync"
)

// QuotedPrintableText encodes text whose lines all end alike; ok is false for any other.
func QuotedPrintableText(text []byte) (coded []byte, ok bool) {
	pairs := bytes.Count(text, []byte("\r\n"))
	lf, cr := bytes.Count(text, []byte("\n")), bytes.Count(text, []byte("\r"))
	if cr != pairs || pairs > 0 && lf != pairs || bytes.IndexByte(text, 0) >= 0 {
		return nil, false
	}
	var out bytes.Buffer
	w := quotedprintable.NewWriter(&out)
	_, _ = w.Write(text) // a buffer takes everything
	_ = w.Close()
	if lf > 0 && pairs == 0 {
		return bytes.ReplaceAll(out.Bytes(), []byte("\r\n"), []byte("\n")), true
	}
	return out.Bytes(), true
}

// base64Source is a source as base64 in lines of 76 letters.
type base64Source struct {
	plain Source

	mu  sync.Mutex
	buf []byte // for pieces of plain
}

// Source is where the bytes of a content are.
type Source interface {
	io.ReaderAt
	Size() int64
}

// NewBase64Source returns a source of plain as base64 in lines of 76 letters, encoded as it is read.
func NewBase64Source(plain Source) Source { return &base64Source{plain: plain} }

const (
	base64Line  = 57 // bytes of a line
	base64Width = 78 // its letters and CRLF
)

func (s *base64Source) Size() int64 {
	n := s.plain.Size()
	size := n / base64Line * base64Width
	if rest := n % base64Line; rest > 0 {
		size += (rest+2)/3*4 + 2
	}
	return size
}

// ReadAt implements io.ReaderAt: each line has its place.
func (s *base64Source) ReadAt(p []byte, off int64) (int, error) {
	const mostLines = 256 // that are read at once
	s.mu.Lock()
	defer s.mu.Unlock()
	if need := min(mostLines, len(p)/base64Width+2) * base64Line; len(s.buf) < need {
		s.buf = make([]byte, need)
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at < 0 || at >= s.Size() {
			return done, io.EOF
		}
		line := at / base64Width
		last := (off + int64(len(p)) - 1) / base64Width // to read no more than p takes: what comes next is read next
		want := s.buf[:min(int64(len(s.buf)), s.plain.Size()-line*base64Line, (last-line+1)*base64Line)]
		if n, err := s.plain.ReadAt(want, line*base64Line); n < len(want) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return done, err
		}
		done += copyBase64(p[done:], want, int(at-line*base64Width))
	}
	return done, nil
}

// copyBase64 writes as many lines of plain as fit into p, without the first skip bytes.
func copyBase64(p, plain []byte, skip int) (n int) {
	var coded [base64Width]byte
	for len(plain) > 0 && n < len(p) {
		some := plain[:min(base64Line, len(plain))]
		plain = plain[len(some):]
		base64.StdEncoding.Encode(coded[:], some)
		end := base64.StdEncoding.EncodedLen(len(some))
		copy(coded[end:], "\r\n")
		n += copy(p[n:], coded[skip:end+2])
		skip = 0
	}
	return n
}

// streamSource is a source of what can only be read from its start to its end. It is meant to be read in about
// that order: whoever goes back by more than streamBack bytes has it begin anew.
type streamSource struct {
	open func() io.Reader
	size int64

	mu  sync.Mutex
	r   io.Reader
	buf []byte // what was read last, at most streamBuffer bytes
	at  int64  // offset of buf
}

const (
	streamBuffer = 32 << 10
	streamBack   = 4 << 10
)

// NewStreamSource returns a source of what open reads, size bytes.
func NewStreamSource(open func() io.Reader, size int64) Source {
	return &streamSource{open: open, size: size}
}

func (s *streamSource) Size() int64 { return s.size }

// ReadAt implements io.ReaderAt.
func (s *streamSource) ReadAt(p []byte, off int64) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r == nil || off < s.at {
		s.r, s.buf, s.at = s.open(), make([]byte, 0, streamBuffer), 0
	}
	for n < len(p) {
		if at := off + int64(n) - s.at; at < int64(len(s.buf)) {
			n += copy(p[n:], s.buf[at:])
			continue
		}
		if len(s.buf) == cap(s.buf) {
			s.at += int64(len(s.buf) - streamBack)
			s.buf = s.buf[:copy(s.buf, s.buf[len(s.buf)-streamBack:])]
		}
		got, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+got]
		if err != nil && got == 0 {
			return n, err
		}
	}
	return n, nil
}

// Package transfer decodes content transfer encodings (RFC 2045 6) as far as their bytes make sense.
package transfer

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"strings"
)

// Defects of transfer encodings.
var (
	ErrUnknownEncoding = errors.New("unknown content transfer encoding")
	ErrBrokenBase64    = errors.New("broken base64")
	ErrBrokenUUEncode  = errors.New("broken uuencode")
)

// Encoding is a content transfer encoding (RFC 2045 6.1).
type Encoding int

// The encodings.
const (
	Identity Encoding = iota // 7bit, 8bit, binary
	QuotedPrintable
	Base64
	UUEncode
	Unknown
)

// Parse parses a label, common misspellings included. Charsets written where the encoding
// belongs mean that nothing was encoded.
func Parse(label string) Encoding {
	label = strings.ToLower(label)
	if i := strings.IndexAny(label, ";("); i >= 0 {
		label = label[:i]
	}
	switch strings.Trim(label, " \t\"'.,:") {
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit", "7 bit", "8 bit", "7bits", "8bits", "bit7", "bit8", "7bit/8bit",
		"none", "plain", "text", "text/plain", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "raw":
		return Identity
	case "quoted-printable", "quotedprintable", "quoted printable", "quoted_printable", "quoted-printeable", "qp":
		return QuotedPrintable
	case "base64", "base-64", "base 64", "base64 encoding", "b64":
		return Base64
	case "x-uuencode", "x-uue", "uuencode", "uue", "x-uu":
		return UUEncode
	}
	return Unknown
}

// Decoder returns a reader that removes the encoding from r, nil for an unknown one.
func (e Encoding) Decoder(r io.Reader) io.Reader {
	switch e {
	case Identity:
		return r
	case QuotedPrintable:
		return &qpReader{r: bufio.NewReaderSize(r, 32<<10)}
	case Base64:
		return base64.NewDecoder(base64.RawStdEncoding, &base64Letters{r: bufio.NewReaderSize(r, 32<<10)})
	case UUEncode:
		return &uuReader{r: bufio.NewReaderSize(r, 32<<10)}
	}
	return nil
}

// base64Letters leaves of base64 what RFC 2045 6.8 reads: the 64 letters, up to the first padding.
type base64Letters struct {
	r     io.Reader
	ended bool // the padding was seen
}

func (l *base64Letters) Read(p []byte) (int, error) {
	for {
		if l.ended {
			return 0, io.EOF
		}
		n, err := l.r.Read(p)
		kept := l.filter(p[:n])
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

// filter moves the letters to the front of p.
func (l *base64Letters) filter(p []byte) int {
	kept := 0
	for i := 0; i < len(p); i++ {
		run := i
		for run < len(p) && isBase64(p[run]) {
			run++
		}
		kept += copy(p[kept:], p[i:run])
		if i = run; i < len(p) && p[i] == '=' {
			l.ended = true
			return kept
		}
	}
	return kept
}

// Base64Check watches encoded bytes go by and judges whether they can be decoded without doubt.
type Base64Check struct {
	letters int64 // up to the padding
	strange int64 // before the padding: characters that have no place in base64, spaces between letters included
	padded  bool
	after   bool // letters after the padding
	blank   bool // white space since the last letter of this line
	started bool // a letter was seen in this line
}

// Write watches p.
func (c *Base64Check) Write(p []byte) {
	for i := 0; i < len(p); i++ {
		switch b := p[i]; {
		case isBase64(b):
			run := 1
			for i+run < len(p) && isBase64(p[i+run]) {
				run++
			}
			i += run - 1
			if c.padded {
				c.after = true
				continue
			}
			if c.blank && c.started {
				c.strange++
			}
			c.blank, c.started = false, true
			c.letters += int64(run)
		case b == '\n' || b == '\r':
			c.blank, c.started = false, false
		case isSpace(b):
			c.blank = true
		case b == '=':
			c.padded = true
		case !c.padded:
			c.strange++
		}
	}
}

// Result returns the decoded size in bytes and why the bytes cannot be decoded without doubt. A stray
// illegal character is ignored (RFC 2045 6.8); some may be a text appended to base64, or a different
// alphabet; many are a sign that this is not base64 at all: then size is 0.
func (c *Base64Check) Result() (size int64, defect error) {
	if c.strange > 1+c.letters/32 {
		return 0, ErrBrokenBase64
	}
	size = c.letters / 4 * 3
	if rest := c.letters % 4; rest > 0 {
		size += rest - 1
	}
	if c.after || c.letters%4 == 1 || c.strange > 1+c.letters/1000 {
		return size, ErrBrokenBase64
	}
	return size, nil
}

// qpReader decodes quoted-printable (RFC 2045 6.7) and keeps other text literally, as the RFC
// advises and mime/quotedprintable does not: nothing is dropped but white space at line ends, which transport adds.
type qpReader struct {
	r     *bufio.Reader
	buf   []byte // for out
	out   []byte // decoded, not yet given
	blank []byte // white space that may turn out to end a line
	err   error
}

func (q *qpReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(q.out) == 0 {
		if q.err != nil {
			return 0, q.err
		}
		q.fill()
	}
	n := copy(p, q.out)
	q.out = q.out[n:]
	return n, nil
}

// softBreak is how far the end of a line may be behind a "=" that takes it away.
const softBreak = 64

// atOnce is how many bytes are decoded in one go, or some more.
const atOnce = 4000

// fill decodes up to some kilobytes.
func (q *qpReader) fill() {
	if q.buf == nil {
		q.buf = make([]byte, 0, 8<<10)
	}
	q.out = q.buf
	for len(q.out) < atOnce {
		window, err := q.r.Peek(1 + softBreak)
		if len(window) == 0 {
			q.err = err
			if err == io.EOF { // white space at the very end ends a line too
				q.blank = nil
			}
			return
		}
		window, _ = q.r.Peek(q.r.Buffered())
		_, _ = q.r.Discard(q.decode(window, err != nil))
	}
}

// decode takes bytes of which each is seen together with those that a soft line break may have, but at the end of what
// can be read, and returns how many it took.
func (q *qpReader) decode(window []byte, last bool) (taken int) {
	for i := 0; ; {
		if i == len(window) || len(q.out) >= atOnce || !last && len(window)-i <= softBreak {
			return i
		}
		c := window[i]
		if c > ' ' && c != '=' {
			n := plainLength(window[i:min(len(window), i+atOnce-len(q.out))])
			q.flush()
			q.out = append(q.out, window[i:i+n]...)
			i += n
			continue
		}
		i++
		switch {
		case isSpace(c) && len(q.blank) < 1000:
			q.blank = append(q.blank, c)
		case c == '=':
			q.flush()
			i += q.escape(window[i:])
		case c == '\n' || c == '\r' && i < len(window) && window[i] == '\n':
			q.blank = q.blank[:0]
			q.out = append(q.out, c)
		default:
			q.flush()
			q.out = append(q.out, c)
		}
	}
}

func (q *qpReader) flush() {
	if len(q.blank) > 0 {
		q.out = append(q.out, q.blank...)
		q.blank = q.blank[:0]
	}
}

// escape decodes what follows "=": two digits, a soft line break or, wrongly, anything else. It returns how many bytes
// that takes.
func (q *qpReader) escape(rest []byte) (taken int) {
	if len(rest) >= 2 && isHex(rest[0]) && isHex(rest[1]) {
		q.out = append(q.out, unhex(rest[0])<<4|unhex(rest[1]))
		return 2
	}
	line := rest[:min(softBreak, len(rest))]
	for i, c := range line {
		switch {
		case c == '\n':
			return i + 1
		case isSpace(c) || c == '\r' && i+1 < len(line) && line[i+1] == '\n':
			continue
		}
		q.out = append(q.out, '=')
		return 0
	}
	if len(line) == softBreak {
		q.out = append(q.out, '=')
		return 0
	}
	return len(line) // a soft break at the very end
}

// unhex is the value of a digit.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

// plainLength counts the bytes at the start of p that quoted-printable leaves as they are.
func plainLength(p []byte) int {
	for i, c := range p {
		if c <= ' ' || c == '=' && (i+1 == len(p) || p[i+1] <= ' ' || isHex(p[i+1])) {
			return i
		}
	}
	return len(p)
}

// isBase64 reports whether c is one of the 64 letters.
func isBase64(c byte) bool {
	const low = 1<<'+' | 1<<'/' | (1<<10-1)<<'0'
	const high = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
	if c < 64 {
		return uint64(low)>>c&1 != 0
	}
	return c < 128 && uint64(high)>>(c-64)&1 != 0
}

package mime

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/emersion/go-message"
)

// Defects of transfer encodings.
var (
	ErrUnknownEncoding = errors.New("unknown content transfer encoding")
	ErrBrokenBase64    = errors.New("broken base64")
	ErrBrokenUUEncode  = errors.New("broken uuencode")
)

// transferEncoding is a content transfer encoding (RFC 2045 6.1).
type transferEncoding int

const (
	identity transferEncoding = iota // 7bit, 8bit, binary
	quotedPrintable
	base64Encoding
	uuEncoding
	unknownEncoding
)

// parseEncoding reads a label, common misspellings included. Charsets written where the encoding
// belongs mean that nothing was encoded.
func parseEncoding(label string) transferEncoding {
	label = strings.ToLower(label)
	if i := strings.IndexAny(label, ";("); i >= 0 {
		label = label[:i]
	}
	switch strings.Trim(label, " \t\"'.,:") {
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit", "7 bit", "8 bit", "7bits", "8bits", "bit7", "bit8", "7bit/8bit",
		"none", "plain", "text", "text/plain", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "raw":
		return identity
	case "quoted-printable", "quotedprintable", "quoted printable", "quoted_printable", "quoted-printeable", "qp":
		return quotedPrintable
	case "base64", "base-64", "base 64", "base64 encoding", "b64":
		return base64Encoding
	case "x-uuencode", "x-uue", "uuencode", "uue", "x-uu":
		return uuEncoding
	}
	return unknownEncoding
}

// decoder removes the encoding from r; nil for an unknown one.
func (e transferEncoding) decoder(r io.Reader) io.Reader {
	switch e {
	case identity:
		return r
	case quotedPrintable:
		return &qpReader{r: bufio.NewReaderSize(r, 32<<10)}
	case base64Encoding:
		var h message.Header
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Transfer-Encoding", "base64")
		clean, err := message.New(h, &base64Cleaner{r: bufio.NewReaderSize(r, 32<<10)})
		if err != nil {
			return nil
		}
		return clean.Body
	case uuEncoding:
		return &uuReader{r: bufio.NewReaderSize(r, 32<<10)}
	}
	return nil
}

// base64Cleaner leaves of base64 what RFC 2045 6.8 reads: the 64 letters up to the first padding,
// with the padding a strict decoder wants.
type base64Cleaner struct {
	r     io.Reader
	count int // letters so far
	ended bool
	tail  string // what is still to be given after the end
}

func (c *base64Cleaner) Read(p []byte) (int, error) {
	for {
		if c.ended {
			if c.tail == "" {
				return 0, io.EOF
			}
			n := copy(p, c.tail)
			c.tail = c.tail[n:]
			return n, nil
		}
		n, err := c.r.Read(p)
		kept := c.filter(p[:n])
		if err == io.EOF {
			c.end()
			err = nil
		}
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

// filter moves the letters to the front of p.
func (c *base64Cleaner) filter(p []byte) int {
	kept := 0
	for i := 0; i < len(p); i++ {
		run := i
		for run < len(p) && isBase64(p[run]) {
			run++
		}
		kept += copy(p[kept:], p[i:run])
		if i = run; i < len(p) && p[i] == '=' {
			c.count += kept
			c.end()
			return kept
		}
	}
	c.count += kept
	return kept
}

func (c *base64Cleaner) end() {
	if c.ended {
		return
	}
	c.ended = true
	switch c.count % 4 {
	case 1:
		c.tail = "A==" // six bits that make no byte; Part.Open cuts off the one they give here
	case 2:
		c.tail = "=="
	case 3:
		c.tail = "="
	}
}

// base64Check watches encoded bytes go by and judges whether they can be decoded without doubt.
type base64Check struct {
	letters int64 // up to the padding
	strange int64 // before the padding: characters that have no place in base64, spaces between letters included
	padded  bool
	after   bool // letters after the padding
	blank   bool // white space since the last letter of this line
	started bool // a letter was seen in this line
}

func (c *base64Check) Write(p []byte) {
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

// result gives the decoded size in bytes and why the bytes cannot be decoded without doubt. A stray
// illegal character is ignored (RFC 2045 6.8); some may be a text appended to base64, or a different
// alphabet; many are a sign that this is no base64 at all: then size is 0.
func (c *base64Check) result() (size int64, defect error) {
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

// qpReader decodes quoted-printable (RFC 2045 6.7) and keeps what is none literally, as the RFC
// advises: nothing is dropped but white space at line ends, which transport adds.
type qpReader struct {
	r     *bufio.Reader
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

// fill decodes up to some kilobytes.
func (q *qpReader) fill() {
	q.out = make([]byte, 0, 4096)
	for len(q.out) < 4000 {
		c, err := q.r.ReadByte()
		if err != nil {
			q.err = err
			if err == io.EOF { // white space at the very end ends a line too
				q.blank = nil
			}
			return
		}
		switch {
		case isSpace(c) && len(q.blank) < 1000:
			q.blank = append(q.blank, c)
		case c == '=':
			q.flush()
			q.escape()
		case c == '\n' || c == '\r' && q.follows("\n"):
			q.blank = q.blank[:0]
			q.out = append(q.out, c)
		default:
			q.flush()
			q.out = append(q.out, c)
		}
	}
}

func (q *qpReader) flush() {
	q.out = append(q.out, q.blank...)
	q.blank = q.blank[:0]
}

func (q *qpReader) follows(s string) bool {
	b, _ := q.r.Peek(len(s))
	return string(b) == s
}

// escape reads what stands after "=": two digits, a soft line break or, wrongly, anything else.
func (q *qpReader) escape() {
	b, _ := q.r.Peek(2)
	if len(b) == 2 {
		if hi, lo := hexValue(b[0]), hexValue(b[1]); hi >= 0 && lo >= 0 {
			q.out = append(q.out, byte(hi<<4|lo))
			_, _ = q.r.Discard(2)
			return
		}
	}
	line, err := q.r.Peek(64)
	for i, c := range line {
		switch {
		case c == '\n':
			_, _ = q.r.Discard(i + 1)
			return
		case isSpace(c) || c == '\r' && i+1 < len(line) && line[i+1] == '\n':
			continue
		}
		q.out = append(q.out, '=')
		return
	}
	if err == nil || len(line) == 64 {
		q.out = append(q.out, '=')
		return
	}
	_, _ = q.r.Discard(len(line)) // a soft break at the very end
}

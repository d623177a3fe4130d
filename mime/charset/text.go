package charset

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

const streamBuffer = 16 << 10 // bytes of a large text that are looked at in one go

// Encoded is text before its charset is known: in memory, or read as often as it takes.
type Encoded struct {
	traits
	bytes []byte
	open  func() io.Reader // nil where bytes has it all
	seen  bool             // traits are those of all the text
}

// Held returns a text that is in memory.
func Held(b []byte) *Encoded { return &Encoded{bytes: b, traits: traitsOf(b), seen: true} }

// Stream returns a text that is read whenever it is asked for.
func Stream(open func() io.Reader) *Encoded { return &Encoded{open: open} }

// look collects the traits of the bytes, once. Where a label tells the charset they are not needed.
func (e *Encoded) look() error {
	if e.seen {
		return nil
	}
	e.traits, e.seen = traits{}, true
	return e.traits.read(e.open())
}

// IsUTF8 reports whether the bytes are UTF-8. Errors are those of reading them.
func (e *Encoded) IsUTF8() (bool, error) {
	err := e.look()
	return e.isValid(), err
}

// HasNUL reports whether there are NUL bytes. Errors are those of reading them.
func (e *Encoded) HasNUL() (bool, error) {
	err := e.look()
	return e.hasNUL(), err
}

// read takes a whole text.
func (t *traits) read(r io.Reader) error {
	buf := make([]byte, streamBuffer)
	for {
		n, err := r.Read(buf)
		t.write(buf[:n])
		if err == io.EOF {
			t.end()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

const headSize = 4 << 10

// Head returns the first bytes, up to 4 KiB.
func (e *Encoded) Head() ([]byte, error) {
	if e.open == nil {
		return e.bytes[:min(len(e.bytes), headSize)], nil
	}
	return io.ReadAll(io.LimitReader(e.open(), headSize))
}

// coding makes what decodes a text to UTF-8, anew for each time that it is read; nil: it is UTF-8.
type coding func() transform.Transformer

func decoderOf(enc encoding.Encoding) coding {
	return func() transform.Transformer { return enc.NewDecoder() }
}

// reader decodes r and leaves the byte order mark out.
func (c coding) reader(r io.Reader) io.Reader {
	if c != nil {
		r = transform.NewReader(r, c())
	}
	return &unmarked{r: r}
}

// Text is decoded text: valid UTF-8 without byte order mark.
type Text struct {
	Exact bool // nothing was lost or guessed

	traits
	ok   bool // the bytes have a meaning in this charset
	text string
	open func() io.Reader // of a text that is not in memory, else nil
}

// Held returns the text where it is in memory; ok is false for one that Open reads.
func (t *Text) Held() (text string, ok bool) { return t.text, t.open == nil }

// Open reads the text.
func (t *Text) Open() io.Reader {
	if t.open == nil {
		return strings.NewReader(t.text)
	}
	return t.open()
}

// Size is the number of bytes that Open gives.
func (t *Text) Size() int64 { return t.size }

// JSONSize is the number of bytes that the text has between the quotes of a JSON string (RFC 8259 7), with U+FFFD in place of
// NUL, which databases behind JSON do not take, and with U+2028 and U+2029 escaped.
func (t *Text) JSONSize() int64 { return t.size + t.quoted }

// IsBlank reports whether there is nothing but white space.
func (t *Text) IsBlank() bool { return t.isBlank() }

// HasControl reports whether there are characters that no text has.
func (t *Text) HasControl() bool { return t.hasControl() }

// Through returns the text as f, which must give valid UTF-8 too, makes it. Errors are those of reading it.
func (t Text) Through(f func(io.Reader) io.Reader) (Text, error) {
	was := t
	t.traits = traits{}
	if t.open != nil {
		t.open = func() io.Reader { return f(was.Open()) }
		return t, t.traits.read(t.open())
	}
	b, err := io.ReadAll(f(was.Open()))
	t.text, t.traits = string(b), traitsOf(b)
	return t, err
}

// try decodes the whole text. Errors are those of reading it.
func (e *Encoded) try(c coding) (Text, error) {
	d := Text{ok: true, Exact: true}
	switch {
	case e.open == nil && c == nil:
		d.text, d.traits = string(withoutMark(e.bytes)), e.traits
	case e.open == nil:
		out, _, err := transform.Bytes(c(), e.bytes)
		if err != nil {
			return Text{}, nil //nolint:nilerr // the charset is another one
		}
		d.text, d.traits = string(withoutMark(out)), traitsOf(out)
	case c == nil:
		d.traits, d.open = e.traits, func() io.Reader { return c.reader(e.open()) }
	default:
		d.open = func() io.Reader { return c.reader(e.open()) }
		source := &watched{r: e.open()}
		if err := d.traits.read(transform.NewReader(source, c())); source.err != nil {
			return Text{}, source.err
		} else if err != nil {
			return Text{}, nil //nolint:nilerr // the charset is another one
		}
	}
	return d, nil
}

// watched remembers errors of reading, to tell them from those of decoding.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != io.EOF {
		w.err = err
	}
	return n, err
}

// unmarked leaves the byte order mark of UTF-8 out.
type unmarked struct {
	r     io.Reader
	begun bool
}

func (u *unmarked) Read(p []byte) (int, error) {
	if !u.begun {
		u.begun = true
		r := bufio.NewReaderSize(u.r, streamBuffer)
		if start, err := r.Peek(3); len(withoutMark(start)) < len(start) {
			_, _ = r.Discard(3)
		} else if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, err
		}
		u.r = r
	}
	return u.r.Read(p)
}

// validUTF8 puts one U+FFFD in place of each run of bytes that are not UTF-8, as strings.ToValidUTF8 does.
type validUTF8 struct{ broken bool }

// Reset implements transform.Transformer.
func (v *validUTF8) Reset() { v.broken = false }

// Transform implements transform.Transformer.
func (v *validUTF8) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		if nDst+utf8.UTFMax > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		r, width := utf8.DecodeRune(src[nSrc:])
		bad := r == utf8.RuneError && width == 1
		if !bad || !v.broken {
			nDst += utf8.EncodeRune(dst[nDst:], r)
		}
		v.broken = bad
		nSrc += width
	}
	return nDst, nSrc, nil
}

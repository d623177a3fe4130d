package api

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/transform"

	"mailhatch/mime/markup"
	"mailhatch/mime/view"
)

// Text is a text as JSON APIs take it: valid UTF-8 without NUL. A large one is read from the message each
// time it is sent, and never held.
type Text struct {
	small  string           // all of a small one
	open   func() io.Reader // of a large one, nil for a small one
	length int64            // of a large one as a JSON string without its quotes
	body   *view.Body       // that it came from, nil for none
}

// textOf returns the text of a body, which may be nil. Errors are those of reading the message.
func textOf(b *view.Body) (t Text, err error) {
	if b == nil || b.IsEmpty() {
		return t, nil
	}
	if small, ok := b.Held(); ok {
		return Text{small: plainText(small), body: b}, nil
	}
	return streamed(b.Open, b)
}

// streamed measures a large text.
func streamed(open func() io.Reader, b *view.Body) (t Text, err error) {
	t = Text{open: open, body: b}
	if b != nil {
		if n, known := b.JSONSize(); known {
			t.length = n
			return t, nil
		}
	}
	t.length, err = io.Copy(io.Discard, t.json())
	return t, err
}

// IsEmpty reports whether the text has no character.
func (t Text) IsEmpty() bool { return t.small == "" && t.open == nil }

// Size is how many bytes the text has. Errors are those of reading the message.
func (t Text) Size() (int64, error) {
	if t.open == nil || t.body == nil {
		return int64(len(t.small)) + t.length, nil
	}
	return t.body.Size()
}

// AsHTML is a plain text as an HTML document that shows it with its line ends. Errors are those of reading the message.
func (t Text) AsHTML() (Text, error) {
	const before, after = "<!DOCTYPE html><html><head></head><body><pre style=\"white-space: pre-wrap\">\r\n", "</pre></body></html>\r\n"
	if t.open == nil {
		var b strings.Builder
		_, err := io.Copy(&b, markup.Escaped(strings.NewReader(t.small)))
		return Text{small: before + b.String() + after}, err
	}
	return streamed(func() io.Reader {
		return io.MultiReader(strings.NewReader(before), markup.Escaped(t.open()), strings.NewReader(after))
	}, nil)
}

// OrSpace stands in where an API refuses an empty text.
func (t Text) OrSpace() Text {
	if t.open == nil {
		return Text{small: OrSpace(t.small), body: t.body}
	}
	if t.body != nil && t.body.IsBlank() {
		return Text{small: " "}
	}
	return t
}

// Shows returns one of these content ids that a cid: URL in the text may name, "" for none.
// Errors are those of reading the message.
func (t Text) Shows(ids []string) (string, error) {
	if t.body == nil {
		return "", nil
	}
	return t.body.Shows(ids)
}

// json reads a large text as it stands between the quotes of a JSON string.
func (t Text) json() io.Reader { return transform.NewReader(t.open(), jsonString{}) }

// jsonString writes text as it stands in a JSON string (RFC 8259 7), the same as encoding/json without
// EscapeHTML does.
type jsonString struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (jsonString) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	const longest = len(`\u0000`)
	for nSrc < len(src) {
		if n := plainRun(src[nSrc:min(len(src), nSrc+len(dst)-nDst)]); n > 0 {
			copy(dst[nDst:], src[nSrc:nSrc+n])
			nDst, nSrc = nDst+n, nSrc+n
			if nSrc == len(src) {
				break
			}
		}
		if nDst+longest > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		if !atEOF && len(src)-nSrc < utf8.UTFMax && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, width := utf8.DecodeRune(src[nSrc:])
		nDst += putJSON(dst[nDst:], r)
		nSrc += width
	}
	return nDst, nSrc, nil
}

// plainRun counts the bytes at the start of p whose characters stand for themselves.
func plainRun(p []byte) int {
	for i := 0; i < len(p); {
		c := p[i]
		if c < ' ' || c == '"' || c == '\\' {
			return i
		}
		if c < utf8.RuneSelf {
			i++
			continue
		}
		r, width := utf8.DecodeRune(p[i:])
		if width == 1 || r == '\u2028' || r == '\u2029' {
			return i
		}
		i += width
	}
	return len(p)
}

// putJSON writes one character and returns how many bytes it takes.
func putJSON(dst []byte, r rune) int {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		dst[0], dst[1] = '\\', byte(r)
		return 2
	case '\b':
		return copy(dst, `\b`)
	case '\f':
		return copy(dst, `\f`)
	case '\n':
		return copy(dst, `\n`)
	case '\r':
		return copy(dst, `\r`)
	case '\t':
		return copy(dst, `\t`)
	case 0: // as in plainText
		return utf8.EncodeRune(dst, utf8.RuneError)
	case '\u2028':
		return copy(dst, `\u2028`)
	case '\u2029':
		return copy(dst, `\u2029`)
	}
	if r < ' ' {
		n := copy(dst, `\u00`)
		dst[n], dst[n+1] = hex[r>>4], hex[r&15]
		return n + 2
	}
	return utf8.EncodeRune(dst, r)
}

// Text writes a text as a JSON string.
func (j *Object) Text(t Text) {
	if t.open == nil {
		j.Value(t.small)
		return
	}
	j.Raw(`"`)
	j.Segment(Segment{Open: t.json, Length: t.length})
	j.Raw(`"`)
}

// plainText makes a string fit for JSON and the databases behind it: valid UTF-8 without NUL.
func plainText(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

package charset

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// traits are what choosing a charset, and what stands around a text, asks about its bytes. They are
// collected in one pass, in pieces of any size. A byte order mark at the start does not count as text.
type traits struct {
	size    int64  // bytes
	quoted  int64  // bytes more that it has between the quotes of a JSON string
	mark    bool   // it starts with the byte order mark of UTF-8
	low     uint32 // bit n: U+0000+n is there
	del     bool   // U+007F is there
	ink     bool   // something is there that is neither white space nor in low
	runes   int64  // characters of several bytes
	invalid int64  // bytes that are not UTF-8
	cuts    cuts   // what they may be
	lost    bool   // U+FFFD is there, or what is not UTF-8

	escaped          escapeState
	japanese, korean bool // ISO-2022-JP and ISO-2022-KR are announced
	rest             []byte
}

// traitsOf reads a text that is in memory.
func traitsOf(b []byte) traits {
	var t traits
	t.write(b)
	t.end()
	return t
}

func (t *traits) isValid() bool { return t.invalid == 0 }

// isCutUTF8 reports whether the text is UTF-8 but for characters that were cut.
func (t *traits) isCutUTF8() bool { return t.invalid > 0 && (t.mark || t.cuts.score > 0) }
func (t *traits) isASCII() bool   { return t.runes == 0 && t.invalid == 0 }
func (t *traits) hasNUL() bool    { return t.low&1 != 0 }

const spaceBits = 1<<'\t' | 1<<'\n' | 1<<'\v' | 1<<'\f' | 1<<'\r'

// hasControl reports whether there are characters that no text has.
func (t *traits) hasControl() bool { return t.low&^spaceBits != 0 || t.del }

// isBlank reports whether there is nothing but white space.
func (t *traits) isBlank() bool { return !t.ink && !t.hasControl() }

// isShifted reports text whose bytes are ASCII but mean something else.
func (t *traits) isShifted() bool { return t.low&(1<<0x0e|1<<0x1b) != 0 }

// isPlain reports whether nothing of a decoded text is lost and no escape sequence is left.
func (t *traits) isPlain() bool { return t.low&(1<<0x0e|1<<0x0f|1<<0x1b) == 0 && !t.lost }

// write takes the next piece.
func (t *traits) write(p []byte) {
	if t.escaped != 0 || bytes.IndexByte(p, 0x1b) >= 0 {
		t.escapes(p)
	}
	for len(t.rest) > 0 && len(p) > 0 { // a character that the last piece has cut
		t.rest = append(t.rest, p[0])
		p = p[1:]
		if utf8.FullRune(t.rest) {
			t.rest = t.rest[:copy(t.rest, t.rest[t.scan(t.rest, false):])]
		}
	}
	if n := t.scan(p, false); n < len(p) {
		t.rest = append(t.rest[:0], p[n:]...)
	}
}

// end takes the end of the text.
func (t *traits) end() {
	t.scan(t.rest, true)
	t.rest = nil
	t.cuts.close(lineEnds)
}

// scan takes whole characters and returns how many bytes these have.
func (t *traits) scan(p []byte, atEnd bool) int {
	n := 0
	for n < len(p) {
		if p[n] < utf8.RuneSelf {
			run := t.ascii(p[n:])
			t.cuts.ascii(p[n : n+run])
			t.quoted += int64(bytes.Count(p[n:n+run], []byte{'"'}) + bytes.Count(p[n:n+run], []byte{'\\'}))
			t.size += int64(run)
			n += run
		}
		if n == len(p) {
			break
		}
		if !atEnd && len(p)-n < utf8.UTFMax && !utf8.FullRune(p[n:]) {
			break
		}
		r, width := utf8.DecodeRune(p[n:])
		first := p[n]
		n += width
		switch {
		case r == '\uFEFF' && t.size == 0 && !t.mark:
			t.mark = true
			continue
		case r == utf8.RuneError && width == 1:
			t.invalid++
			t.cuts.bad(first)
		default:
			t.runes++
			t.cuts.char(first)
		}
		t.size += int64(width)
		if r == '\u2028' || r == '\u2029' {
			t.quoted += int64(len(`\u2028`) - width)
		}
		t.lost = t.lost || r == utf8.RuneError
		t.ink = t.ink || !unicode.IsSpace(r)
	}
	return n
}

// ascii takes the ASCII characters at the start of p and returns how many there are.
func (t *traits) ascii(p []byte) int {
	low, ink, del, quoted := t.low, t.ink, t.del, t.quoted
	n := 0
	for ; n < len(p); n++ {
		c := p[n]
		if c > ' ' {
			if c >= 0x7f {
				if c > 0x7f {
					break
				}
				del = true
			}
			ink = true
		} else if c < ' ' {
			low |= 1 << c
			quoted += quotedMore(c)
		}
	}
	t.low, t.ink, t.del, t.quoted = low, ink, del, quoted
	return n
}

// quotedMore is how many bytes more a control character takes in a JSON string (RFC 8259 7). NUL becomes U+FFFD.
func quotedMore(c byte) int64 {
	switch c {
	case '\b', '\t', '\n', '\f', '\r':
		return int64(len(`\n`) - 1)
	case 0:
		return int64(len("\uFFFD") - 1)
	}
	return int64(len(`\u0001`) - 1)
}

// escapeState is how much of "ESC $ ) C" stands before the next byte.
type escapeState int

// escapes looks for what announces ISO-2022-JP (RFC 1468) and ISO-2022-KR (RFC 1557 2).
func (t *traits) escapes(p []byte) {
	for len(p) > 0 {
		if t.escaped == 0 {
			i := bytes.IndexByte(p, 0x1b)
			if i < 0 {
				return
			}
			p = p[i+1:]
			t.escaped = 1
			continue
		}
		c := p[0]
		p = p[1:]
		switch was := t.escaped; {
		case c == 0x1b:
			t.escaped = 1
		case was == 1 && c == '$':
			t.escaped = 2
		case was == 2 && c == ')':
			t.escaped = 3
		default:
			t.japanese = t.japanese || was == 2 && (c == 'B' || c == '@')
			t.korean = t.korean || was == 3 && c == 'C'
			t.escaped = 0
		}
	}
}

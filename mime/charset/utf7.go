package charset

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

var errNotUTF7 = errors.New("not UTF-7")

func fromUTF7() transform.Transformer { return &utf7Decoder{} }

// utf7Decoder decodes RFC 2152, which golang.org/x/text does not have; its error is errNotUTF7.
type utf7Decoder struct {
	shifted bool // inside a run of modified base64: UTF-16 in network order
	letters int  // of the run
	bits    uint32
	free    uint // how many of bits wait for others
	high    rune // a surrogate that waits for its other half
}

// Reset implements transform.Transformer.
func (u *utf7Decoder) Reset() { *u = utf7Decoder{} }

// Transform implements transform.Transformer.
func (u *utf7Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		c := src[nSrc]
		if nDst+utf8.UTFMax > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		switch {
		case u.shifted && isBase64(c):
			n, ok := u.letter(dst[nDst:], c)
			if !ok {
				return nDst, nSrc, errNotUTF7
			}
			nDst += n
		case u.shifted:
			if !u.endRun() {
				return nDst, nSrc, errNotUTF7
			}
			if c != '-' {
				continue
			}
		case c >= 0x80:
			return nDst, nSrc, errNotUTF7
		case c == '+':
			if nSrc+1 == len(src) && !atEOF {
				return nDst, nSrc, transform.ErrShortSrc
			}
			if nSrc+1 < len(src) && isBase64(src[nSrc+1]) {
				u.shifted = true
				break
			}
			dst[nDst] = '+'
			nDst++
			if nSrc+1 < len(src) && src[nSrc+1] == '-' {
				nSrc++
			}
		default:
			dst[nDst] = c
			nDst++
		}
		nSrc++
	}
	if atEOF && u.shifted && !u.endRun() {
		return nDst, nSrc, errNotUTF7
	}
	return nDst, nSrc, nil
}

// letter takes one letter of base64 and writes the character that it completes, if any.
func (u *utf7Decoder) letter(dst []byte, c byte) (n int, ok bool) {
	u.letters++
	u.bits = u.bits<<6 | uint32(base64Value(c))
	if u.free += 6; u.free < 16 {
		return 0, true
	}
	u.free -= 16
	r := rune(u.bits >> u.free & 0xffff)
	switch {
	case u.high != 0:
		r, u.high = utf16.DecodeRune(u.high, r), 0
	case r >= 0xd800 && r < 0xdc00:
		u.high = r
		return 0, true
	case utf16.IsSurrogate(r):
		return 0, false
	}
	return utf8.EncodeRune(dst, r), r != utf8.RuneError
}

// endRun reports whether the run has a whole number of bytes and characters.
func (u *utf7Decoder) endRun() bool {
	ok := u.letters%4 != 1 && u.high == 0
	u.Reset()
	return ok
}

// base64Value is the number of one of the 64 letters.
func base64Value(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 26
	case c >= 'A':
		return c - 'A'
	case c >= '0':
		return c - '0' + 52
	case c == '+':
		return 62
	}
	return 63
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

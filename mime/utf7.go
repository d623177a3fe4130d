package mime

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
)

// decodeUTF7 decodes RFC 2152; ok is false when b is no UTF-7.
func decodeUTF7(b []byte) (text string, ok bool) {
	var out strings.Builder
	for len(b) > 0 {
		c := b[0]
		b = b[1:]
		if c >= 0x80 {
			return "", false
		}
		if c != '+' {
			out.WriteByte(c)
			continue
		}
		n := 0
		for n < len(b) && isBase64(b[n]) {
			n++
		}
		if n == 0 {
			out.WriteByte('+')
			if len(b) > 0 && b[0] == '-' {
				b = b[1:]
			}
			continue
		}
		s, good := decodeShifted(b[:n])
		if !good {
			return "", false
		}
		out.WriteString(s)
		b = b[n:]
		if len(b) > 0 && b[0] == '-' {
			b = b[1:]
		}
	}
	return strings.TrimPrefix(out.String(), "\uFEFF"), true
}

// decodeShifted decodes a run of modified base64: UTF-16 in network order.
func decodeShifted(b []byte) (string, bool) {
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(len(b)))
	n, err := base64.RawStdEncoding.Decode(raw, b)
	if err != nil {
		return "", false
	}
	units := make([]uint16, 0, n/2)
	for i := 0; i+1 < n; i += 2 {
		units = append(units, uint16(raw[i])<<8|uint16(raw[i+1]))
	}
	s := string(utf16.Decode(units))
	return s, !strings.ContainsRune(s, '\uFFFD')
}

// isBase64 tells whether c is one of the 64 letters.
func isBase64(c byte) bool {
	const low = 1<<'+' | 1<<'/' | (1<<10-1)<<'0'
	const high = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
	if c < 64 {
		return uint64(low)>>c&1 != 0
	}
	return c < 128 && uint64(high)>>(c-64)&1 != 0
}

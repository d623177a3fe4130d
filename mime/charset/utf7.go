package charset

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf16"
)

const base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// decodeUTF7 decodes RFC 2152, which golang.org/x/text does not have; ok is false when b is not UTF-7.
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
		n := len(b) - len(bytes.TrimLeft(b, base64Letters))
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

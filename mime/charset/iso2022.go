package charset

import (
	"bytes"
	"strings"

	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
)

// koreanDesignator announces ISO-2022-KR (RFC 1557 2).
const koreanDesignator = "\x1b$)C"

// decodeISO2022KR decodes RFC 1557: between SO and SI, bytes are those of EUC-KR without their high bit.
func decodeISO2022KR(b []byte) (text string, ok bool) {
	out := make([]byte, 0, len(b))
	shifted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == 0x0e:
			shifted = true
		case c == 0x0f:
			shifted = false
		case c == 0x1b && bytes.HasPrefix(b[i:], []byte(koreanDesignator)):
			i += len(koreanDesignator) - 1
		case shifted && c > ' ' && c < 0x7f:
			out = append(out, c|0x80)
		default:
			shifted = shifted && c != '\n' // a line starts in ASCII
			out = append(out, c)
		}
	}
	text, ok = decodeWith(out, korean.EUCKR)
	return text, ok && isPlain(text)
}

// decodeISO2022 reads text that shows by its escape sequences that it is ISO-2022-JP (RFC 1468) or
// ISO-2022-KR, whatever its label says.
func decodeISO2022(b []byte) (text string, ok bool) {
	if !bytes.Contains(b, []byte("\x1b$")) || !isASCII(b) { // in this order: bodies are large
		return "", false
	}
	switch {
	case bytes.Contains(b, []byte("\x1b$B")), bytes.Contains(b, []byte("\x1b$@")):
		text, ok = decodeWith(b, japanese.ISO2022JP)
		return text, ok && isPlain(text)
	case bytes.Contains(b, []byte(koreanDesignator)):
		return decodeISO2022KR(b)
	}
	return "", false
}

// isPlain reports whether nothing of a decoded text is lost and no escape sequence is left.
func isPlain(text string) bool { return !strings.ContainsAny(text, "\x0e\x0f\x1b\uFFFD") }

// isShifted reports text whose bytes are ASCII but mean something else.
func isShifted(b []byte) bool { return bytes.ContainsAny(b, "\x0e\x1b") }

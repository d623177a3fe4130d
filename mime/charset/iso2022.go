package charset

import (
	"bytes"
	"strings"

	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/transform"
)

// koreanDesignator announces ISO-2022-KR (RFC 1557 2).
const koreanDesignator = "\x1b$)C"

// fromISO2022KR decodes RFC 1557: between SO and SI, bytes are those of EUC-KR without their high bit.
func fromISO2022KR() transform.Transformer {
	return transform.Chain(&unshiftKR{}, korean.EUCKR.NewDecoder())
}

// unshiftKR makes EUC-KR of ISO-2022-KR.
type unshiftKR struct{ shifted bool }

// Reset implements transform.Transformer.
func (u *unshiftKR) Reset() { u.shifted = false }

// Transform implements transform.Transformer.
func (u *unshiftKR) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		if nDst == len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		switch c := src[nSrc]; {
		case c == 0x0e:
			u.shifted = true
		case c == 0x0f:
			u.shifted = false
		case c == 0x1b && bytes.HasPrefix(src[nSrc:], []byte(koreanDesignator)):
			nSrc += len(koreanDesignator) - 1
		case c == 0x1b && !atEOF && strings.HasPrefix(koreanDesignator, string(src[nSrc:])):
			return nDst, nSrc, transform.ErrShortSrc
		case u.shifted && c > ' ' && c < 0x7f:
			dst[nDst] = c | 0x80
			nDst++
		default:
			u.shifted = u.shifted && c != '\n' // a line starts in ASCII
			dst[nDst] = c
			nDst++
		}
	}
	return nDst, nSrc, nil
}

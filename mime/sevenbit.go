package mime

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"strings"
)

// ErrIntlAddr is the error of a header that has no form in ASCII.
var ErrIntlAddr = errors.New("a non-ASCII address has no 7-bit form")

// Header7Bit encodes the raw 8-bit fields of a header as RFC 2047 and RFC 2231 and leaves the others. charset is
// that of fields which are not UTF-8, see [Message.Charset]. The error is [ErrIntlAddr].
func Header7Bit(raw []byte, charset string) ([]byte, error) {
	if IsASCII(raw) {
		return raw, nil
	}
	eol := LineEnd(raw)
	var out []byte
	fields := ParseHeader(raw)
	fields.inCharset(charset)
	for _, f := range fields {
		if IsASCII(f.Raw) {
			out = append(out, f.Raw...)
			continue
		}
		field := field7Bit(f, eol)
		if !IsASCII(field) {
			return nil, fmt.Errorf("%w: %s", ErrIntlAddr, repair(f.Name))
		}
		out = append(out, field...)
	}
	return out, nil
}

func field7Bit(f Field, eol string) []byte {
	switch strings.ToLower(f.Name) {
	case "":
		return masked(f.Raw)
	case "content-type", "content-disposition":
		token, params := parseValue(f.Value())
		if v := mime.FormatMediaType(token, params); v != "" {
			return Fold(f.Name+": "+v, eol)
		}
		return masked(f.Raw)
	}
	return Edit{Name: f.Name, Value: repair(f.Value())}.field(eol)
}

// masked writes "?" for what is not ASCII.
func masked(raw []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r >= 0x80 {
			return '?'
		}
		return r
	}, raw)
}

package mime

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
)

// header7Bit encodes the raw 8-bit fields of a header and leaves the others.
func header7Bit(raw []byte, charset string) ([]byte, error) {
	if !has8Bit(raw) {
		return raw, nil
	}
	eol := lineEnd(raw)
	var out []byte
	fields := ParseHeader(raw)
	fields.inCharset(charset)
	for _, f := range fields {
		if !has8Bit(f.Raw) {
			out = append(out, f.Raw...)
			continue
		}
		field := field7Bit(f, eol)
		if has8Bit(field) {
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
			return fold(f.Name+": "+v, eol)
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

// Package charset decodes text in the charsets of mail, wrong and missing labels included.
package charset

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// Decode decodes text to valid UTF-8 without byte order mark. The label decides where it can
// be right; wrong and missing labels are tolerated. exact is false when characters were lost or an
// unknown charset had to be guessed.
func Decode(b []byte, label string) (text string, exact bool) {
	label = strings.ToLower(strings.Trim(label, " \t\"';,"))
	switch label {
	case "", "us-ascii", "ascii", "ansi_x3.4-1968", "iso646-us", "7bit", "8bit", "binary",
		"utf-8", "utf8", "x-utf-8", "unicode-1-1-utf-8", "utf-8n", "utf8mb4":
		return decodeUTF8(b)
	case "unknown-8bit", "x-unknown", "unknown", "default", "x-default", "default_charset", "x-user-defined", "none":
		return decodeUTF8(b)
	case "utf-7", "utf7", "unicode-1-1-utf-7", "x-utf-7", "csutf7":
		if text, ok := decodeUTF7(b); ok {
			return text, true
		}
		return decodeUTF8(b)
	case "iso-2022-kr", "csiso2022kr", "iso-2022-cn", "iso-2022-cn-ext": // Chinese is known by name only
		if text, ok := decodeISO2022KR(b); ok && strings.HasSuffix(label, "kr") {
			return text, true
		}
		text, exact = decodeUTF8(b)
		return text, exact && !isShifted(b)
	}
	if text, found := decodeLabelled(b, label); found {
		if !strings.ContainsRune(text, utf8.RuneError) {
			return text, true
		}
		if utf8.Valid(b) { // in truth UTF-8, or not even 8-bit
			return withoutMark(b), true
		}
		return text, false
	}
	text, _ = decodeUTF8(b)
	return text, isASCII(text) && !isShifted([]byte(text))
}

// decodeUTF8 takes text for UTF-8 when it is, else for windows-1252, which every byte fits. Text
// that is mostly UTF-8 loses the bytes that are not.
func decodeUTF8(b []byte) (text string, exact bool) {
	if text, ok := decodeISO2022(b); ok {
		return text, true
	}
	if utf8.Valid(b) {
		return withoutMark(b), true
	}
	valid, invalid := 0, 0
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			invalid++
		case n > 1:
			valid++
		}
		rest = rest[n:]
	}
	if valid > invalid {
		return strings.ToValidUTF8(withoutMark(b), "\uFFFD"), false
	}
	text, _ = decodeWith(b, charmap.Windows1252)
	return text, !strings.ContainsRune(text, utf8.RuneError)
}

// decodeLabelled decodes by the label; found is false for an unknown charset.
func decodeLabelled(b []byte, label string) (text string, found bool) {
	if enc := knownEncoding(label, b); enc != nil {
		return decodeWith(b, enc)
	}
	r, err := charset.Reader(label, bytes.NewReader(b))
	if err != nil {
		return "", false
	}
	out, err := io.ReadAll(r)
	return withoutMark(out), err == nil
}

func decodeWith(b []byte, enc encoding.Encoding) (string, bool) {
	out, err := enc.NewDecoder().Bytes(b)
	return withoutMark(out), err == nil
}

// knownEncoding returns the encoding that browsers use for a label, as htmlindex has it, so that charsets
// that programs label as their subset are read as the superset; and what mail has beside that. It is nil
// where go-message/charset knows more.
func knownEncoding(label string, b []byte) encoding.Encoding {
	switch label {
	case "gb2312", "gbk", "gb_2312-80", "cp936", "x-gbk", "euc-cn", "gb-18030", "chinese", "csgb2312",
		"eucgb2312_cn": // the last is what Python writes
		return simplifiedchinese.GB18030
	case "utf-16", "utf16", "unicode", "ucs-2", "iso-10646-ucs-2", "csunicode":
		return unicode.UTF16(guessEndian(b), unicode.UseBOM)
	case "utf-16le", "utf16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case "utf-16be", "utf16be":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "utf-32", "utf32", "ucs-4", "iso-10646-ucs-4":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)
	case "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)
	case "hz-gb-2312": // htmlindex refuses to decode it
		return nil
	}
	enc, err := htmlindex.Get(commonLabel(label))
	if err != nil {
		return nil
	}
	return enc
}

// commonLabel returns the name that htmlindex knows for a label that it does not know.
func commonLabel(label string) string {
	switch label {
	case "latin-1", "8859-1", "iso8859_1", "windows1252", "ansi", "x-ansi":
		return "windows-1252"
	case "ks_c_5601", "cp949", "ms949", "uhc", "x-windows-949":
		return "euc-kr"
	case "cp874":
		return "windows-874"
	case "macroman":
		return "macintosh"
	case "cp932":
		return "shift_jis"
	case "big5_tw": // what Python writes
		return "big5"
	case "x-iso-2022-jp":
		return "iso-2022-jp"
	}
	if strings.HasPrefix(label, "iso-2022-jp") {
		return "iso-2022-jp"
	}
	if n, ok := strings.CutPrefix(strings.Replace(label, "cp-", "cp", 1), "cp125"); ok && len(n) == 1 {
		return "windows-125" + n
	}
	if n, ok := strings.CutPrefix(label, "iso8859-"); ok {
		return "iso-8859-" + n
	}
	return label
}

// guessEndian reports the byte order of UTF-16 without a mark: RFC 2781 4.3 says big-endian, Windows
// writes little-endian. Spaces and Latin letters show it.
func guessEndian(b []byte) unicode.Endianness {
	even, odd := 0, 0
	for i := 0; i+1 < len(b) && i < 4096; i += 2 {
		if b[i] == 0 {
			even++
		}
		if b[i+1] == 0 {
			odd++
		}
	}
	if odd > even {
		return unicode.LittleEndian
	}
	return unicode.BigEndian
}

func withoutMark(b []byte) string { return string(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))) }

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

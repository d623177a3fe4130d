// Package charset decodes text in the charsets of mail, wrong and missing labels included.
package charset

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// Decode decodes text to valid UTF-8 without byte order mark. The label decides where it can
// be right; wrong and missing labels are tolerated. exact is false when characters were lost or an
// unknown charset had to be guessed.
func Decode(b []byte, label string) (text string, exact bool) {
	t, _ := Held(b).Decode(label) // what is in memory can always be read
	return t.text, t.Exact
}

// IsUTF8 reports whether text is UTF-8, characters that were cut in half aside.
func IsUTF8(b []byte) bool {
	if utf8.Valid(b) {
		return true
	}
	t := traitsOf(b)
	return t.isCutUTF8()
}

// Decode is the function Decode for a text of any size. Errors are those of reading it.
func (e *Encoded) Decode(label string) (d Text, err error) {
	label = strings.ToLower(strings.Trim(label, " \t\"';,"))
	switch label {
	case "", "us-ascii", "ascii", "ansi_x3.4-1968", "iso646-us", "7bit", "8bit", "binary",
		"utf-8", "utf8", "x-utf-8", "unicode-1-1-utf-8", "utf-8n", "utf8mb4":
		return e.decodeUTF8()
	case "unknown-8bit", "x-unknown", "unknown", "default", "x-default", "default_charset", "x-user-defined", "none":
		return e.decodeUTF8()
	case "utf-7", "utf7", "unicode-1-1-utf-7", "x-utf-7", "csutf7":
		if d, err = e.try(fromUTF7); err != nil || d.ok {
			return d, err
		}
		return e.decodeUTF8()
	case "iso-2022-kr", "csiso2022kr":
		if d, err = e.try(fromISO2022KR); err != nil || d.ok && d.isPlain() {
			return d, err
		}
		return e.decodeShifted()
	case "iso-2022-cn", "iso-2022-cn-ext": // known by name only
		return e.decodeShifted()
	}
	if enc, err := e.encodingOf(label); err != nil {
		return d, err
	} else if enc != nil {
		if d, err = e.try(decoderOf(enc)); err != nil || d.ok {
			if err == nil && d.ok && d.lost {
				valid, err := e.IsUTF8()
				if err != nil {
					return d, err
				}
				if valid { // in truth UTF-8, or not even 8-bit
					return e.try(nil)
				}
			}
			d.Exact = !d.lost
			return d, err
		}
	}
	d, err = e.decodeUTF8()
	d.Exact = d.isASCII() && !d.isShifted()
	return d, err
}

// decodeShifted is decodeUTF8 for text whose bytes may be ASCII and mean something else.
func (e *Encoded) decodeShifted() (Text, error) {
	d, err := e.decodeUTF8() // which has looked at the bytes
	d.Exact = d.Exact && !e.isShifted()
	return d, err
}

// decodeUTF8 takes text for UTF-8 when it is, else for windows-1252, which every byte fits. UTF-8 with
// characters that were cut loses these alone. Text that shows by its escape sequences that it is
// ISO-2022-JP or ISO-2022-KR is read as such, whatever its label says.
func (e *Encoded) decodeUTF8() (d Text, err error) {
	if err := e.look(); err != nil {
		return d, err
	}
	var announced coding
	switch {
	case !e.isASCII() || e.mark:
	case e.japanese:
		announced = decoderOf(japanese.ISO2022JP)
	case e.korean:
		announced = fromISO2022KR
	}
	if announced != nil {
		if d, err = e.try(announced); err != nil || d.ok && d.isPlain() {
			return d, err
		}
	}
	if e.isValid() {
		return e.try(nil)
	}
	if e.isCutUTF8() {
		d, err = e.try(func() transform.Transformer { return &validUTF8{} })
		d.Exact = false
		return d, err
	}
	d, err = e.try(decoderOf(charmap.Windows1252))
	d.Exact = !d.lost
	return d, err
}

// encodingOf returns nil for charsets that nobody knows.
func (e *Encoded) encodingOf(label string) (encoding.Encoding, error) {
	head, err := e.Head()
	if err != nil {
		return nil, err
	}
	if enc := knownEncoding(label, head); enc != nil {
		return enc, nil
	}
	switch label {
	case "ansi_x3.110-1983":
		return charmap.ISO8859_1, nil // RFC 1345: mostly a superset of it
	case "x-utf_8j":
		return unicode.UTF8, nil
	}
	for _, name := range []string{label, "cs" + label} {
		if enc, err := ianaindex.MIME.Encoding(name); err == nil && enc != nil {
			return enc, nil
		}
	}
	return nil, nil
}

// knownEncoding returns the encoding that browsers use for a label, as htmlindex has it, so that charsets
// that programs label as their subset are read as the superset; and what mail has beside that. It is nil
// where IANA's registry knows more.
func knownEncoding(label string, head []byte) encoding.Encoding {
	switch label {
	case "gb2312", "gbk", "gb_2312-80", "cp936", "x-gbk", "euc-cn", "gb-18030", "chinese", "csgb2312",
		"eucgb2312_cn": // the last is what Python writes
		return simplifiedchinese.GB18030
	case "utf-16", "utf16", "unicode", "ucs-2", "iso-10646-ucs-2", "csunicode":
		return unicode.UTF16(guessEndian(head), unicode.UseBOM)
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

// guessEndian returns the byte order of UTF-16 without a mark: RFC 2781 4.3 says big-endian, Windows
// writes little-endian. Spaces and Latin letters show it.
func guessEndian(b []byte) unicode.Endianness {
	even, odd := 0, 0
	for i := 0; i+1 < len(b); i += 2 {
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

func withoutMark(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) }

package mime

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"mailhatch/mime/charset"
)

// DecodeText decodes the encoded words of an unstructured field (RFC 2047) in any charset, and raw
// 8-bit text as UTF-8 or else windows-1252. What is not valid encoded word stays as it is. The result
// is valid UTF-8 without control characters that end a line or a string.
func DecodeText(s string) string {
	if !strings.Contains(s, "=?") {
		return clean(repair(s))
	}
	var out strings.Builder
	var run word // adjacent words of one charset, whose characters may be split between words
	for s != "" {
		w, before, after, ok := nextWord(s)
		if !ok {
			break
		}
		blank := strings.Trim(before, " \t\r\n") == ""
		if run.charset != "" && (!blank || !run.joins(w)) {
			out.WriteString(run.text())
			run = word{}
		}
		if !blank || out.Len() == 0 && run.charset == "" {
			out.WriteString(repair(before)) // white space between words is not shown (RFC 2047 6.2)
		}
		run = word{charset: w.charset, data: append(run.data, w.data...)}
		s = after
	}
	if run.charset != "" {
		out.WriteString(run.text())
	}
	out.WriteString(repair(s))
	return clean(out.String())
}

// word is a decoded encoded word.
type word struct {
	charset string // in lower case
	data    []byte
}

func (w word) joins(next word) bool { return w.charset == next.charset }

func (w word) text() string {
	text, _ := charset.Decode(w.data, w.charset)
	return text
}

// nextWord finds the first encoded word in s and the text on both sides.
func nextWord(s string) (w word, before, after string, ok bool) {
	for from := 0; ; {
		i := strings.Index(s[from:], "=?")
		if i < 0 {
			return word{}, "", "", false
		}
		i += from
		if w, n, ok := parseWord(s[i:]); ok {
			return w, s[:i], s[i+n:], true
		}
		from = i + 2
	}
}

// maxWord is more than any program writes; RFC 2047 2 allows 75 characters. It keeps the search for
// the end of a word short.
const maxWord = 2000

// parseWord parses the encoded word at the start of s: =?charset*language?encoding?text?=
func parseWord(s string) (w word, n int, ok bool) {
	if len(s) > maxWord {
		s = s[:maxWord]
	}
	charset, rest, found := strings.Cut(s[2:], "?")
	if !found || charset == "" || len(rest) < 2 || rest[1] != '?' || strings.ContainsAny(charset, " \t\r\n\"<>") {
		return word{}, 0, false
	}
	charset, _, _ = strings.Cut(charset, "*") // RFC 2231 5
	text, _, found := strings.Cut(rest[2:], "?=")
	if !found {
		return word{}, 0, false
	}
	n = len(s) - len(rest) + 2 + len(text) + 2
	switch rest[0] {
	case 'q', 'Q':
		w.data = decodeQ(text)
	case 'b', 'B':
		data, good := decodeB(text)
		if !good {
			return word{}, 0, false
		}
		w.data = data
	default:
		return word{}, 0, false
	}
	w.charset = strings.ToLower(charset)
	if w.charset == "" {
		return word{}, 0, false
	}
	return w, n, true
}

// decodeQ decodes RFC 2047 4.2.
func decodeQ(s string) []byte { return decodeHex(strings.ReplaceAll(s, "_", " "), '=') }

// decodeHex decodes the mark and two hexadecimal digits to a byte; a mark without two digits stays, which no
// decoder of the standard library does.
func decodeHex(s string, mark byte) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == mark && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				c = byte(n)
				i += 2
			}
		}
		out = append(out, c)
	}
	return out
}

// decodeB decodes base64, padding or not, white space ignored.
func decodeB(s string) ([]byte, bool) {
	s = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s)
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return data, err == nil
}

// repair makes raw header text valid UTF-8: other bytes are taken as windows-1252, escape
// sequences of ISO 2022 are read.
func repair(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, "\x1b$") {
		return s
	}
	text, _ := charset.Decode([]byte(s), "")
	return text
}

var cleaner = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\x00", "")

// clean replaces what would end a line or a string elsewhere: CR, LF, NUL.
func clean(s string) string {
	if !hasLineEnd(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return cleaner.Replace(s)
}

// oneLine makes a value fit in one field: line ends and NUL become one space.
func oneLine(s string) string {
	if !hasLineEnd(s) && strings.IndexByte(s, 0) < 0 {
		return strings.Trim(s, " \t")
	}
	var out strings.Builder
	gap := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r' || c == '\n' || c == 0 || gap && isSpace(c):
			gap = true
		default:
			if gap {
				out.WriteByte(' ')
			}
			gap = false
			out.WriteByte(c)
		}
	}
	return strings.Trim(out.String(), " \t")
}

// IsASCII reports whether all bytes of s are ASCII.
func IsASCII[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// encodeText encodes the words of an unstructured value that need it (RFC 2047), leaving ASCII words
// readable.
func encodeText(s string) string {
	first, last := -1, 0
	words := strings.Split(s, " ")
	for i, w := range words {
		if !IsASCII(w) || strings.Contains(w, "=?") {
			if first < 0 {
				first = i
			}
			last = i + 1
		}
	}
	if first < 0 {
		return s
	}
	parts := append([]string{}, words[:first]...)
	parts = append(parts, EncodeWords(strings.Join(words[first:last], " ")))
	return strings.Join(append(parts, words[last:]...), " ")
}

// EncodeWords writes s as encoded words, each of whole characters. RFC 2047 2 allows words of 75
// characters in lines of 76; 60 leave room for the name of the field.
func EncodeWords(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	escaped := 0
	for i := 0; i < len(s); i++ {
		if !isPlainQ(s[i]) && s[i] != ' ' {
			escaped++
		}
	}
	dense := escaped*2 > len(s)
	encode, mark, room := encodeQ, "=?utf-8?q?", 60-len("=?utf-8?q??=")
	cost := func(r string) int { return len(encodeQ(r)) }
	if dense {
		encode = func(t string) string { return base64.StdEncoding.EncodeToString([]byte(t)) }
		mark = "=?utf-8?b?"
		room = room / 4 * 3
		cost = func(r string) int { return len(r) }
	}
	var words []string
	start, used := 0, 0
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		c := cost(s[i : i+n])
		if used+c > room {
			words = append(words, mark+encode(s[start:i])+"?=")
			start, used = i, 0
		}
		used += c
		i += n
	}
	return strings.Join(append(words, mark+encode(s[start:])+"?="), " ")
}

// isPlainQ reports whether a character stands for itself in a phrase (RFC 2047 5 (3)).
func isPlainQ(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("!*+-/", c) >= 0
}

func encodeQ(s string) string {
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			out.WriteByte('_')
		case isPlainQ(c):
			out.WriteByte(c)
		default:
			out.WriteByte('=')
			out.WriteByte(digits[c>>4])
			out.WriteByte(digits[c&15])
		}
	}
	return out.String()
}

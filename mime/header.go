package mime

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"mailhatch/mime/charset"
)

// ErrHeaderTooLarge reports that a header is longer than allowed.
var ErrHeaderTooLarge = errors.New("header is too large")

// Header is the fields of a message or a part in their order.
type Header []Field

// Field is one header field with its bytes as they came, folding and line end included.
type Field struct {
	Name string // as written, without colon; "" for a line that is not a field
	Raw  []byte

	charset string // in which Raw is, "" where unknown
}

// Get returns the first field of that name, unfolded, not decoded; "" when missing.
func (h Header) Get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return f.Value()
		}
	}
	return ""
}

// Values returns all fields of that name, unfolded, not decoded.
func (h Header) Values(name string) []string {
	var values []string
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value())
		}
	}
	return values
}

// Has reports whether there is a field of that name, even an empty one.
func (h Header) Has(name string) bool {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// Text returns the first field of that name decoded (RFC 2047), as valid UTF-8.
func (h Header) Text(name string) string { return DecodeText(h.Get(name)) }

// unfolder takes line ends away. A lone CR is none, but white space.
var unfolder = strings.NewReplacer("\r\r\n", "", "\r\n", "", "\n", "", "\r", " ")

// Value returns the field unfolded (RFC 5322 2.2.3), its encoded words not decoded. Raw 8-bit text is
// UTF-8 where the message declares its charset. A line that is not a field is all value.
func (f Field) Value() string {
	raw := f.Raw
	if f.Name != "" {
		raw = raw[bytes.IndexByte(raw, ':')+1:]
	}
	s := string(trimBlank(raw))
	if hasLineEnd(s) {
		s = unfolder.Replace(s)
	}
	if f.charset != "" {
		if text, exact := charset.Decode([]byte(s), f.charset); exact {
			return text
		}
	}
	return s
}

// hasLineEnd reports whether there is a CR or LF in s.
func hasLineEnd(s string) bool {
	return strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0
}

// ReadHeader reads a header up to and including the empty line from the start of a message, at most
// max bytes and 100,000 lines; rest reads what follows. A body that follows without an empty line gets one, as in
// [Message.With]. A message without body may be without it. When the header is longer, err is
// [ErrHeaderTooLarge], raw is what was read and rest the remainder.
func ReadHeader(r io.Reader, max int) (raw []byte, rest io.Reader, err error) {
	br := bufio.NewReaderSize(r, headerBuffer)
	raw = make([]byte, 0, headerBuffer)
	atStart := true
	for lines := 0; ; {
		line, err := br.ReadSlice('\n')
		raw = append(raw, line...)
		if err == nil {
			lines++
		}
		if lines > maxHeaderLines {
			return raw, br, ErrHeaderTooLarge
		}
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return raw, br, err
		}
		if err == io.EOF || atStart && isEmptyLine(line) || len(raw) > max {
			return splitHeader(raw, br, max)
		}
		atStart = err == nil
	}
}

// splitHeader returns back to the body what was read beyond the header.
func splitHeader(raw []byte, rest io.Reader, max int) ([]byte, io.Reader, error) {
	top := trimEmptyLine(raw)
	end := headerEnd(top)
	switch {
	case end < len(top):
		rest = io.MultiReader(bytes.NewReader(raw[end:]), rest)
		return append(raw[:end:end], LineEnd(raw)...), rest, nil
	case len(raw) > max:
		return raw, rest, ErrHeaderTooLarge
	}
	return raw, rest, nil
}

// ParseHeader splits a raw header into fields, up to an empty line if there is one. Lines that are not
// fields are kept with an empty name. The byte order mark that editors put before the first field is
// no part of it.
func ParseHeader(raw []byte) Header {
	if len(raw) == 0 {
		return nil
	}
	h := make(Header, 0, 1+bytes.Count(raw, []byte("\n")))
	for len(raw) > 0 {
		if len(h) == 0 && len(fieldName(raw[:lineLength(raw)])) > 0 {
			raw = withoutMark(raw)
		}
		line := raw[:lineLength(raw)]
		if isEmptyLine(line) {
			break
		}
		n := len(line)
		name := commonName(fieldName(line))
		if name != "" {
			for n < len(raw) && isSpace(raw[n]) { // folded (RFC 5322 2.2.3)
				n += lineLength(raw[n:])
			}
		}
		h = append(h, Field{Name: name, Raw: raw[:n:n]})
		raw = raw[n:]
	}
	return h
}

// fieldName returns the name of the field that starts on this line, nothing when none does. White space
// before the colon is obsolete syntax (RFC 5322 4.5).
func fieldName(line []byte) []byte {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return nil
	}
	name := withoutMark(line[:colon])
	for len(name) > 0 && isSpace(name[len(name)-1]) {
		name = name[:len(name)-1]
	}
	for _, c := range name {
		if c <= ' ' || c == 0x7f {
			return nil
		}
	}
	return name
}

// commonNames are those of nearly all headers, as nearly all programs write them.
var commonNames = []string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "Received", "Reply-To",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition"}

// commonName makes a string of a name: not a new one where it is common.
func commonName(name []byte) string {
	for _, known := range commonNames {
		if string(name) == known {
			return known
		}
	}
	return string(name)
}

// withoutMark takes away a UTF-8 byte order mark.
func withoutMark(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) }

// lineLength is the length of the first line of b with its line end.
func lineLength(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// isEmptyLine reports whether the line has nothing but a line end.
func isEmptyLine(line []byte) bool {
	if len(line) == 0 || line[len(line)-1] != '\n' {
		return false
	}
	for _, c := range line {
		if c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isBlank reports whether c is white space or part of a line end.
func isBlank(c byte) bool { return isSpace(c) || c == '\r' || c == '\n' }

// trimBlank removes white space and line ends on both sides.
func trimBlank(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return trimBlankEnd(b)
}

// trimBlankEnd removes white space and line ends at the end.
func trimBlankEnd(b []byte) []byte {
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// trimEmptyLine removes the empty line at the end of a raw header.
func trimEmptyLine(raw []byte) []byte {
	n := 0
	for n < len(raw) {
		l := lineLength(raw[n:])
		if isEmptyLine(raw[n : n+l]) {
			break
		}
		n += l
	}
	return raw[:n:n]
}

// LineEnd returns the line end a header uses: that of its first line, CRLF when there is none.
func LineEnd(raw []byte) string {
	if i := bytes.IndexByte(raw, '\n'); i == 0 || i > 0 && raw[i-1] != '\r' {
		return "\n"
	}
	return "\r\n"
}

// headerEnd decides how much of a block of lines before an empty line is header. A line that is not
// field ends it, as in every mail program, unless well-known fields come after it: then it is rubbish
// amid the header (a folded line that lost its indent, the "From " line of a mailbox file). It ends
// it in any case when it is the delimiter of the first part, or follows a line of white space.
func headerEnd(block []byte) int {
	end, pos := 0, 0
	field, blank, open := false, false, false // the line before: a field that counts, white space, ends in ";"
	for looks := 0; pos < len(block); {
		line := block[pos : pos+lineLength(block[pos:])]
		if isEmptyLine(line) {
			break
		}
		pos += len(line)
		name := fieldName(line)
		switch {
		case field && (isSpace(line[0]) || open && isParameter(line)): // continues a field that counts
			end = pos
			blank = len(trimBlankEnd(line)) == 0
			open = isOpen(line)
			continue
		case end == 0 && pos == len(line) && isMailboxLine(line), field && line[0] == ':': // a field without a name
			end, field = pos, false
		case len(name) == 0:
			if blank {
				return end
			}
			if bytes.HasPrefix(line, []byte("--")) && looks < 3 {
				if looks++; isFirstDelimiter(block[:end], line) {
					return end
				}
			}
			field = false
		case end == pos-len(line) || isWellKnown(string(name)):
			field, end = true, pos
		default:
			field = false
		}
		blank, open = false, isOpen(line)
	}
	return end
}

// isOpen reports whether more of a field's value must follow on the next line: a parameter.
func isOpen(line []byte) bool {
	return bytes.HasSuffix(trimBlankEnd(line), []byte(";"))
}

// isParameter reports whether a line looks like one that lost its indent: name=value.
func isParameter(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte("="))
	return ok && IsToken(string(name))
}

// isFirstDelimiter reports whether line starts the first part of the multipart that a header declares
// (RFC 2046 5.1.1).
func isFirstDelimiter(header, line []byte) bool {
	_, params := parseValue(ParseHeader(header).Get("Content-Type"))
	boundary := strings.TrimRight(params["boundary"], " \t")
	return boundary != "" && string(trimBlankEnd(line)) == "--"+boundary
}

// isWellKnown reports whether a name is surely that of a header field, not the start of a sentence.
func isWellKnown(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "from", "to", "cc", "bcc", "subject", "date", "sender", "reply-to", "message-id", "received",
		"return-path", "mime-version", "in-reply-to", "references", "dkim-signature", "user-agent":
		return true
	}
	return strings.HasPrefix(name, "content-") || strings.HasPrefix(name, "x-") ||
		strings.HasPrefix(name, "list-") || strings.HasPrefix(name, "resent-")
}

package bounce

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"mailhatch/mime"
)

const (
	maxReturned = 256 << 10 // bytes of a message that is returned whole
	maxHeader   = 64 << 10  // bytes of a returned header
	maxLine     = 998       // bytes of a line that may go unencoded (RFC 5322 2.1.1)
)

// original returns the part that shows the message: whole when its sender asked for that (RET=FULL, which
// RFC 3461 4.3 means for failures alone) and it is small, else its header. nil when there is no
// message.
func (r *Report) original(utf8 bool) (*part, error) {
	if r.Original == nil {
		return nil, nil
	}
	if r.Action == Failed && strings.EqualFold(r.Envelope.Ret, "FULL") && r.Original.Source.Size() <= maxReturned {
		p, err := wholeMessage(r.Original, utf8)
		if p != nil || err != nil {
			return p, err
		}
	}
	return headerOf(r.Original, utf8), nil
}

// blind removes the fields that no recipient may see (RFC 5322 3.6.3).
func blind() []mime.Edit { return []mime.Edit{{Name: "Bcc"}, {Name: "Resent-Bcc"}} }

// wholeMessage returns nil when the message cannot be enclosed byte for byte.
func wholeMessage(m *mime.Message, utf8Header bool) (*part, error) {
	m, err := m.With(blind()...)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(m.Reader(), maxReturned+1))
	if err != nil {
		return nil, err
	}
	p := &part{kind: "message/rfc822", about: "Undelivered message", content: content}
	header := m.HeaderBytes()
	switch {
	case !fits(content):
		return nil, nil // message/rfc822 may not be encoded (RFC 2046 5.2.1)
	case mime.IsASCII(content):
	case mime.IsASCII(header):
		p.encoding = "8bit"
	case !utf8.Valid(header):
		return nil, nil
	case utf8Header:
		p.kind, p.encoding = "message/global", "8bit" // RFC 6532 3.7
	default:
		p.kind, p.encoding = "message/global", "base64"
	}
	return p, nil
}

// headerOf returns the header alone. Where it is not plain ASCII it goes quoted-printable (RFC 6522 4)
// or, to a sender with a non-ASCII address, as RFC 6533 6.3 has it.
func headerOf(m *mime.Message, utf8Header bool) *part {
	header := m.HeaderBytes()
	if len(header) > maxHeader {
		header = header[:bytes.LastIndexByte(header[:maxHeader], '\n')+1]
	}
	header = mime.EditHeader(header, blind()...)
	if len(header) > 0 && !bytes.HasSuffix(header, []byte("\n")) {
		header = append(header[:len(header):len(header)], "\r\n"...)
	}
	p := &part{kind: "text/rfc822-headers", about: "Header of the message", content: header}
	plain := fits(header)
	switch {
	case plain && mime.IsASCII(header):
	case plain && utf8Header && utf8.Valid(header):
		p.kind, p.encoding = "message/global-headers", "8bit"
	default:
		p.encoding = "quoted-printable"
	}
	return p
}

// fits reports whether content can stand unencoded: lines that end with CRLF and are not too long, no NUL.
func fits(content []byte) bool {
	if bytes.IndexByte(content, 0) >= 0 {
		return false
	}
	for line := range bytes.Lines(content) {
		line, _ = bytes.CutSuffix(line, []byte("\r\n"))
		if len(line) > maxLine || bytes.ContainsAny(line, "\r\n") {
			return false
		}
	}
	return true
}

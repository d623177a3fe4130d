package bounce

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"

	"mailhatch/mime"
)

// part is one part of a report.
type part struct {
	kind     string // Content-Type
	about    string // Content-Description
	encoding string // Content-Transfer-Encoding; "": 7bit
	content  []byte // lines end with CRLF
}

// writeReport writes a multipart message with the given header.
func writeReport(header fields, parts []part) ([]byte, error) {
	var out bytes.Buffer
	if slices.ContainsFunc(parts, func(p part) bool { return p.encoding == "8bit" }) {
		// RFC 2045 6.4. go-message takes it out of the header of a multipart.
		out.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	h, err := header.header()
	if err != nil {
		return nil, err
	}
	w, err := message.CreateWriter(&out, h)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := p.write(w); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (p part) write(to *message.Writer) error {
	var h message.Header // fields are written in the reverse order
	h.Add("Content-Type", p.kind)
	if p.encoding != "" {
		h.Add("Content-Transfer-Encoding", p.encoding)
	}
	if p.about != "" {
		h.Add("Content-Description", p.about)
	}
	w, err := to.CreatePart(h)
	if err != nil {
		return err
	}
	if _, err := w.Write(p.content); err != nil {
		return err
	}
	return w.Close()
}

// fields is a block of header fields: encoded, folded, one line each for what came in several.
type fields struct {
	utf8 bool // RFC 6532: non-ASCII text stays as it is
	raw  []byte
}

func (f *fields) add(name, value string) {
	f.raw = mime.EditHeader(f.raw, mime.Edit{Op: mime.Append, Name: name, Value: value, UTF8: f.utf8})
}

// header returns the fields as go-message writes them: as they are.
func (f *fields) header() (message.Header, error) {
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(append(f.raw, "\r\n"...))))
	return message.Header{Header: h}, err
}

// printable returns s as one line of valid UTF-8 without control characters.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}

// clip shortens s to max characters.
func clip(s string, max int) string {
	if utf8.RuneCountInString(s) <= max {
		return s
	}
	return string([]rune(s)[:max-1]) + "…"
}

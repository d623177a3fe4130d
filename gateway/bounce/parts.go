package bounce

import (
	"encoding/base64"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailhatch/mime"
)

// part is a part of the report.
type part struct {
	kind     string // Content-Type
	about    string // Content-Description
	encoding string // Content-Transfer-Encoding; "": 7bit
	content  []byte // lines end with CRLF
}

func writeParts(w io.Writer, boundary string, parts []part) error {
	mw := multipart.NewWriter(w)
	if err := mw.SetBoundary(boundary); err != nil {
		return err
	}
	for _, p := range parts {
		if err := p.write(mw); err != nil {
			return err
		}
	}
	return mw.Close()
}

func (p part) write(mw *multipart.Writer) error {
	header := textproto.MIMEHeader{"Content-Type": {p.kind}}
	if p.about != "" {
		header.Set("Content-Description", p.about)
	}
	if p.encoding != "" {
		header.Set("Content-Transfer-Encoding", p.encoding)
	}
	w, err := mw.CreatePart(header)
	if err != nil {
		return err
	}
	switch p.encoding {
	case "quoted-printable":
		qp := quotedprintable.NewWriter(w)
		if _, err := qp.Write(p.content); err != nil {
			return err
		}
		return qp.Close()
	case "base64":
		return writeBase64(w, p.content)
	}
	_, err = w.Write(p.content)
	return err
}

// writeBase64 writes lines of 76 characters (RFC 2045 6.8).
func writeBase64(w io.Writer, content []byte) error {
	const perLine = 57 // bytes
	for len(content) > 0 {
		n := min(perLine, len(content))
		if _, err := io.WriteString(w, base64.StdEncoding.EncodeToString(content[:n])+"\r\n"); err != nil {
			return err
		}
		content = content[n:]
	}
	return nil
}

// fields writes a block of header fields: encoded, folded, one line each for what came in several.
type fields struct {
	utf8 bool // RFC 6532: non-ASCII text stays as it is
	raw  []byte
}

func (f *fields) add(name, value string) {
	f.raw = mime.EditHeader(f.raw, mime.Edit{Op: mime.Append, Name: name, Value: value, UTF8: f.utf8})
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// printable gives one line of valid UTF-8 without control characters.
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

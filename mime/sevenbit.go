package mime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"mailhatch/mime/transfer"
)

// Reasons why a message has no 7-bit form.
var (
	ErrSigned   = errors.New("re-encoding would break the signature of multipart/signed")
	ErrNo7Bit   = errors.New("8-bit data in a part that cannot be re-encoded")
	ErrIntlAddr = errors.New("a non-ASCII address has no 7-bit form")
)

// HeaderEightBit reports whether the message's own header has a byte ≥ 0x80.
func (m *Message) HeaderEightBit() bool { return !IsASCII(m.headerBytes) }

// BodyEightBit reports whether there is a byte ≥ 0x80 after the header, headers of parts included.
// Errors are those of reading the source.
func (m *Message) BodyEightBit() (bool, error) {
	return rangeEightBit(m.Source, m.bodyOffset, m.Source.Size())
}

// EightBit reports whether there is a byte ≥ 0x80 anywhere in the message. Errors are those of reading
// the source.
func (m *Message) EightBit() (bool, error) {
	if m.HeaderEightBit() {
		return true, nil
	}
	return m.BodyEightBit()
}

func rangeEightBit(src Source, from, to int64) (bool, error) {
	buf := make([]byte, 32<<10)
	for from < to {
		n, err := src.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		if !IsASCII(buf[:n]) {
			return true, nil
		}
		from += int64(n)
		if err != nil && from < to {
			return false, err
		}
	}
	return false, nil
}

// To7Bit returns the message for a relay without 8BITMIME (RFC 6152 3): parts with 8-bit content are
// encoded as quoted-printable or base64, raw 8-bit header fields as RFC 2047 and RFC 2231; all other
// bytes stay. m itself is given back when it is 7-bit already. The error is [ErrSigned], [ErrNo7Bit]
// or [ErrIntlAddr] when there is no such form, else one of reading the source.
func (m *Message) To7Bit() (*Message, error) { return m.to7Bit(0) }

func (m *Message) to7Bit(depth int) (*Message, error) {
	if eight, err := m.EightBit(); err != nil || !eight {
		return m, err
	}
	if m.Root.start != m.bodyOffset {
		// With has given it another header: the parts' places are those in the old source.
		whole, err := Parse(m.Source)
		if err != nil {
			return nil, err
		}
		m = whole
	}
	header, err := header7Bit(m.headerBytes, m.charset)
	if err != nil {
		return nil, err
	}
	d := &downgrade{src: m.Source, depth: depth, charset: m.charset}
	if err := d.part(m.Root, header, 0, int64(len(m.headerBytes))); err != nil {
		return nil, err
	}
	if err := d.copyTo(m.Source.Size()); err != nil {
		return nil, err
	}
	seven, err := Parse(Concat(d.out...))
	if err != nil || depth > 0 || seven.Header.Has("MIME-Version") || !seven.Header.Has("Content-Transfer-Encoding") {
		return seven, err
	}
	// Without MIME-Version the encoding would not count (RFC 2045 4).
	return seven.With(declareMIME(m.Root)...)
}

const declareLimit = 1 << 20 // bytes of a body that are looked at for its charset

// declareMIME returns the fields of a message that had none of MIME.
func declareMIME(root *Part) []Edit {
	edits := []Edit{{Op: Append, Name: "MIME-Version", Value: "1.0"}}
	if root.Header.Has("Content-Type") || root.RawSize() > declareLimit {
		return edits
	}
	if b, err := io.ReadAll(root.Raw()); err == nil && utf8.Valid(b) {
		edits = append(edits, Edit{Op: Append, Name: "Content-Type", Value: "text/plain; charset=utf-8"})
	}
	return edits
}

// downgrade writes a message anew in pieces.
type downgrade struct {
	src   Source
	pos   int64 // up to here src is written
	out   []Source
	depth int // of messages within messages

	charset string // of raw 8-bit fields
}

// copyTo writes the bytes up to offset as they are. What is 8-bit there is between parts, where
// no program shows it, and is written as "?".
func (d *downgrade) copyTo(offset int64) error {
	if offset <= d.pos {
		return nil
	}
	s := Section(d.src, d.pos, offset-d.pos)
	eight, err := rangeEightBit(s, 0, s.Size())
	if err != nil {
		return err
	}
	if eight {
		s = &maskedSource{s}
	}
	d.out = append(d.out, s)
	d.pos = offset
	return nil
}

// replace writes b in place of the bytes up to offset.
func (d *downgrade) replace(b Source, offset int64) {
	d.out = append(d.out, b)
	d.pos = offset
}

// maskedSource reads 8-bit bytes as "?".
type maskedSource struct{ Source }

func (m *maskedSource) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.Source.ReadAt(p, off)
	for i, c := range p[:n] {
		if c >= 0x80 {
			p[i] = '?'
		}
	}
	return n, err
}

// part writes the part whose header stands at [from, to) of the source; header is that header in
// 7 bits already.
func (d *downgrade) part(p *Part, header []byte, from, to int64) error {
	eight, err := rangeEightBit(p.source, p.start, p.end)
	if err != nil {
		return err
	}
	if p.Type == "multipart/signed" && eight {
		return ErrSigned
	}
	if err := d.copyTo(from); err != nil {
		return err
	}
	if len(p.Children) == 0 {
		return d.leaf(p, header, to, eight)
	}
	if label := strings.ToLower(p.Encoding); label == "8bit" || label == "binary" {
		header = EditHeader(header, Edit{Op: Replace, Name: "Content-Transfer-Encoding", Value: "7bit"})
	}
	d.replace(NewBytesSource(header), to)
	if err := d.copyTo(p.start); err != nil {
		return err
	}
	for _, c := range p.Children {
		raw := c.headerBytes()
		h, err := header7Bit(raw, d.charset)
		if err != nil {
			return err
		}
		if err := d.part(c, h, c.headerAt, c.headerAt+int64(len(raw))); err != nil {
			return err
		}
	}
	return nil
}

func (p *Part) headerBytes() []byte {
	var raw []byte
	for _, f := range p.Header {
		raw = append(raw, f.Raw...)
	}
	return raw
}

// leaf writes a leaf, encoded when its content is 8-bit.
func (d *downgrade) leaf(p *Part, header []byte, headerEnd int64, eight bool) error {
	if !eight || p.encoding() == transfer.Base64 {
		// Other bytes amid base64 have no meaning (RFC 2045 6.8): "?" is as good.
		d.replace(NewBytesSource(header), headerEnd)
		return d.copyTo(p.end)
	}
	var body Source
	var label string
	switch {
	case p.Type == "message/rfc822" || p.Type == "message/global":
		nested, err := d.nested(p)
		if err != nil {
			return err
		}
		body, label = nested.Source, "7bit"
	case p.Defect != nil || strings.HasPrefix(p.Type, "message/"):
		return fmt.Errorf("%w: %s", ErrNo7Bit, p.Type)
	default:
		var err error
		if body, label, err = encode7Bit(p); err != nil {
			return err
		}
	}
	empty := make([]byte, p.start-headerEnd) // the empty line, which shows the line end of a part without fields
	if _, err := d.src.ReadAt(empty, headerEnd); err != nil && err != io.EOF {
		return err
	}
	header = append(header[:len(header):len(header)], empty...)
	if len(empty) == 0 { // there is none: the new field needs one
		header = append(header, lineEnd(header)...)
	}
	header = EditHeader(header, Edit{Op: Replace, Name: "Content-Transfer-Encoding", Value: label})
	d.replace(NewBytesSource(header), p.start)
	d.replace(body, p.end)
	return nil
}

// nested converts an attached message, which must not be encoded itself (RFC 2046 5.2.1).
func (d *downgrade) nested(p *Part) (*Message, error) {
	if p.encoding() != transfer.Identity || d.depth >= 8 {
		return nil, fmt.Errorf("%w: %s", ErrNo7Bit, p.Type)
	}
	m, err := Parse(Section(p.source, p.start, p.end-p.start))
	if err != nil {
		return nil, err
	}
	return m.to7Bit(d.depth + 1)
}

// encode7Bit encodes the decoded content of a leaf: text as quoted-printable while it is small,
// anything else as base64, which is computed as it is read.
func encode7Bit(p *Part) (Source, string, error) {
	const small = 1 << 20
	if strings.HasPrefix(p.Type, "text/") && p.RawSize() <= small {
		content, err := io.ReadAll(p.Open())
		if err != nil {
			return nil, "", err
		}
		if coded, ok := transfer.QuotedPrintableText(content); ok {
			return NewBytesSource(coded), "quoted-printable", nil
		}
	}
	plain := Source(Section(p.source, p.start, p.end-p.start))
	if p.encoding() != transfer.Identity {
		size, err := p.DecodedSize()
		if err != nil {
			return nil, "", err
		}
		plain = transfer.NewStreamSource(p.Open, size)
	}
	return transfer.NewBase64Source(plain), "base64", nil
}

// header7Bit encodes the raw 8-bit fields of a header and leaves the others.
func header7Bit(raw []byte, charset string) ([]byte, error) {
	if IsASCII(raw) {
		return raw, nil
	}
	eol := lineEnd(raw)
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

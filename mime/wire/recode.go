package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"mailhatch/mime"
	"mailhatch/mime/transfer"
)

// Reasons beside [mime.ErrIntlAddr] why a message has no 7-bit form.
var (
	ErrSigned = errors.New("re-encoding would break the signature of multipart/signed")
	ErrNo7Bit = errors.New("8-bit data in a part that cannot be re-encoded")
)

// To7Bit returns the message for a relay without 8BITMIME (RFC 6152 3): parts with 8-bit content are
// encoded as quoted-printable or base64, raw 8-bit header fields as RFC 2047 and RFC 2231; all other
// bytes stay. m itself is given back when it is 7-bit already. The error is [ErrSigned], [ErrNo7Bit]
// or [mime.ErrIntlAddr] when there is no such form, else one of reading the source.
func To7Bit(m *mime.Message) (*mime.Message, error) {
	out, _, err := rewrite(m, need{eight: true}, 0)
	return out, err
}

// ShortLines returns the message with lines of at most [MaxLine] octets: parts with longer ones are encoded as
// quoted-printable or base64, headers folded; all other bytes stay. m itself is given back where all are short.
// What must not be changed stays: left names the type of the first such part with a longer line, "" for none.
// Errors are those of reading the source.
func ShortLines(m *mime.Message) (short *mime.Message, left string, err error) {
	return rewrite(m, need{long: true}, 0)
}

// need is what some bytes have that must not leave.
type need struct{ eight, long bool }

func (n need) none() bool { return !n.eight && !n.long }

// of returns what bytes of a source have of n.
func (n need) of(src mime.Source, from, to int64) (found need, err error) {
	buf := make([]byte, min(32<<10, max(0, to-from)))
	var lines LineMeter
	for from < to && found != n {
		got, err := src.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		found.eight = n.eight && (found.eight || !mime.IsASCII(buf[:got]))
		if n.long {
			lines.Write(buf[:got])
			found.long = lines.TooLong()
		}
		if from += int64(got); err != nil && from < to {
			return found, err
		}
	}
	return found, nil
}

// rewrite writes the parts of a message, which is one of depth others, without what n says.
func rewrite(m *mime.Message, n need, depth int) (out *mime.Message, left string, err error) {
	if found, err := n.of(m.Source, 0, m.Source.Size()); err != nil || found.none() && (!n.long || !hasLoneCR(m.Root)) {
		return m, "", err
	}
	if m, err = m.Whole(); err != nil {
		return nil, "", err
	}
	w := &rewriter{src: m.Source, need: n, depth: depth, charset: m.Charset()}
	if err := w.part(m.Root, m.HeaderBytes(), 0); err != nil {
		return nil, "", err
	}
	if err := w.between(m.Source.Size()); err != nil {
		return nil, "", err
	}
	out, err = mime.Parse(mime.Concat(w.out...))
	if err != nil || depth > 0 || out.Header.Has("MIME-Version") || !out.Header.Has("Content-Transfer-Encoding") {
		return out, w.left, err
	}
	// Without MIME-Version the encoding would not count (RFC 2045 4).
	out, err = out.With(declareMIME(m.Root)...)
	return out, w.left, err
}

const declareLimit = 1 << 20 // bytes of a body that are looked at for its charset

// declareMIME returns the fields of a message that had none of MIME.
func declareMIME(root *mime.Part) []mime.Edit {
	edits := []mime.Edit{{Op: mime.Append, Name: "MIME-Version", Value: "1.0"}}
	if root.Header.Has("Content-Type") || root.RawSize() > declareLimit {
		return edits
	}
	if b, err := io.ReadAll(root.Raw()); err == nil && utf8.Valid(b) {
		edits = append(edits, mime.Edit{Op: mime.Append, Name: "Content-Type", Value: "text/plain; charset=utf-8"})
	}
	return edits
}

// rewriter writes a message anew in pieces.
type rewriter struct {
	src   mime.Source
	pos   int64 // up to here src is written
	out   []mime.Source
	need  need
	left  string // type of a part that stays as it is
	depth int    // of messages within messages

	charset string // of raw 8-bit fields
}

// keep writes the bytes up to offset as they are.
func (w *rewriter) keep(offset int64) {
	if offset > w.pos {
		w.out = append(w.out, mime.Section(w.src, w.pos, offset-w.pos))
		w.pos = offset
	}
}

// between writes the bytes up to offset, which no program shows or decoders read over: what is 8-bit there is
// written as "?", and longer lines are broken.
func (w *rewriter) between(offset int64) error {
	if offset <= w.pos {
		return nil
	}
	s := mime.Section(w.src, w.pos, offset-w.pos)
	found, err := w.need.of(s, 0, s.Size())
	if err != nil {
		return err
	}
	if found.eight {
		s = &maskedSource{s}
	}
	if found.long {
		if s, err = brokenLines(s); err != nil {
			return err
		}
	}
	w.replace(s, offset)
	return nil
}

// replace writes b in place of the bytes up to offset.
func (w *rewriter) replace(b mime.Source, offset int64) {
	w.out = append(w.out, b)
	w.pos = offset
}

// part writes a part with this header.
func (w *rewriter) part(p *mime.Part, header []byte, depth int) error {
	span := p.Span()
	if depth == 0 { // the fields of a message may have been mended as they were read
		span.HeaderEnd = int64(len(header))
	}
	var found need
	if len(p.Children) == 0 || isOpaque(p, depth == 0) {
		var err error
		if found, err = w.need.of(w.src, span.Body, span.End); err != nil {
			return err
		}
	}
	if p.Type == "multipart/signed" && found.eight {
		return ErrSigned
	}
	if err := w.between(span.Header); err != nil {
		return err
	}
	header, err := w.header(header)
	if err != nil {
		return err
	}
	switch {
	case isOpaque(p, depth == 0) && !found.eight:
		if found.long {
			w.leave(p)
		}
		w.replace(mime.NewBytesSource(header), span.HeaderEnd)
		w.keep(span.End)
		return nil
	case len(p.Children) == 0:
		return w.leaf(p, span, header, found)
	}
	if label := strings.ToLower(p.Encoding); w.need.eight && (label == "8bit" || label == "binary") {
		header = mime.EditHeader(header, mime.Edit{Op: mime.Replace, Name: "Content-Transfer-Encoding", Value: "7bit"})
	}
	w.replace(mime.NewBytesSource(header), span.HeaderEnd)
	if err := w.between(span.Body); err != nil {
		return err
	}
	for _, c := range p.Children {
		var raw []byte
		for _, f := range c.Header {
			raw = append(raw, f.Raw...)
		}
		if err := w.part(c, raw, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// header returns a header as it may leave.
func (w *rewriter) header(raw []byte) ([]byte, error) {
	if w.need.long {
		raw = foldHeader(withoutLoneCR(raw))
	}
	if w.need.eight {
		return mime.Header7Bit(raw, w.charset)
	}
	return raw, nil
}

// leave notes a part that stays as it is.
func (w *rewriter) leave(p *mime.Part) {
	if w.left == "" {
		w.left = p.Type
	}
}

// isOpaque reports whether a change would break what a part is (RFC 1847, RFC 8551).
func isOpaque(p *mime.Part, root bool) bool {
	switch p.Type {
	case "multipart/signed", "multipart/encrypted", "application/pgp-encrypted":
		return true
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		return root || p.Disposition != "attachment"
	}
	return false
}

// leaf writes a leaf, encoded when its content must be.
func (w *rewriter) leaf(p *mime.Part, span mime.Span, header []byte, found need) error {
	isBase64 := !p.IsMultipart() && transfer.Parse(p.Encoding) == transfer.Base64
	if found.none() || isBase64 && (!found.long || p.Defect != nil) {
		// Other bytes amid base64 have no meaning (RFC 2045 6.8): "?" is as good, and lines are of any length.
		w.replace(mime.NewBytesSource(header), span.HeaderEnd)
		if found.none() {
			w.keep(span.End)
			return nil
		}
		return w.between(span.End)
	}
	body, label, err := w.content(p, span)
	if err != nil {
		return err
	}
	if body == nil {
		w.leave(p)
		w.replace(mime.NewBytesSource(header), span.HeaderEnd)
		w.keep(span.End)
		return nil
	}
	empty := make([]byte, span.Body-span.HeaderEnd) // the empty line, which shows the line end of a part without fields
	if _, err := w.src.ReadAt(empty, span.HeaderEnd); err != nil && err != io.EOF {
		return err
	}
	header = append(header[:len(header):len(header)], empty...)
	if len(empty) == 0 { // there is none: the new field needs one
		header = append(header, mime.LineEnd(header)...)
	}
	if label != "" {
		header = mime.EditHeader(header, mime.Edit{Op: mime.Replace, Name: "Content-Transfer-Encoding", Value: label})
	}
	w.replace(mime.NewBytesSource(header), span.Body)
	w.replace(body, span.End)
	return nil
}

// content encodes the content of a leaf; it is nil where a part with longer lines has to stay as it is. label is the
// new encoding, "" for that of before.
func (w *rewriter) content(p *mime.Part, span mime.Span) (body mime.Source, label string, err error) {
	switch {
	case p.Type == "message/rfc822" || p.Type == "message/global":
		if p.IsMultipart() || transfer.Parse(p.Encoding) != transfer.Identity || w.depth >= 8 {
			break
		}
		nested, err := w.nested(span)
		if err != nil {
			return nil, "", err
		}
		if w.need.eight {
			label = "7bit"
		}
		return nested.Source, label, nil
	case p.Defect != nil || strings.HasPrefix(p.Type, "message/"):
	default:
		return encode(p, mime.Section(w.src, span.Body, span.End-span.Body))
	}
	if w.need.eight {
		return nil, "", fmt.Errorf("%w: %s", ErrNo7Bit, p.Type)
	}
	return nil, "", nil
}

// nested converts an attached message, which must not be encoded itself (RFC 2046 5.2.1).
func (w *rewriter) nested(span mime.Span) (*mime.Message, error) {
	m, err := mime.Parse(mime.Section(w.src, span.Body, span.End-span.Body))
	if err != nil {
		return nil, err
	}
	out, left, err := rewrite(m, w.need, w.depth+1)
	if w.left == "" {
		w.left = left
	}
	return out, err
}

// encode encodes the decoded content of a leaf whose raw content is given: text as quoted-printable while it is small,
// anything else as base64, which is computed as it is read.
func encode(p *mime.Part, raw mime.Source) (mime.Source, string, error) {
	const small = 1 << 20
	if strings.HasPrefix(p.Type, "text/") && p.RawSize() <= small {
		content, err := io.ReadAll(p.Open())
		if err != nil {
			return nil, "", err
		}
		if coded, ok := transfer.QuotedPrintableText(content); ok {
			return mime.NewBytesSource(coded), "quoted-printable", nil
		}
	}
	if transfer.Parse(p.Encoding) == transfer.Identity {
		return transfer.NewBase64Source(raw), "base64", nil
	}
	size, err := p.DecodedSize()
	if err != nil {
		return nil, "", err
	}
	return transfer.NewBase64Source(transfer.NewStreamSource(p.Open, size)), "base64", nil
}

package mime

import (
	"bytes"
	"io"
	"strings"

	"mailhatch/mime/charset"
	"mailhatch/mime/flowed"
)

// TextInMemory is the size in bytes, as it is in the message, up to which a text is decoded in memory.
// A larger one is decoded each time that somebody reads it, in a stream.
const TextInMemory = 64 << 10

// encoded reads the content once, and holds it where it has at most limit bytes.
func (p *Part) encoded(limit int64) (*charset.Encoded, error) {
	if p.RawSize() > limit {
		return charset.Stream(p.Open), nil
	}
	var b bytes.Buffer
	b.Grow(int(p.RawSize()) + bytes.MinRead)
	_, err := b.ReadFrom(p.Open())
	return charset.Held(b.Bytes()), err
}

// Text decodes the content as a text, in memory where it has no more than limit bytes; it is nil where the
// bytes are not text at all. view is the part as a mail program shows it, or p where that is not base64 but a
// text with a wrong label. The soft line breaks of format=flowed are undone. Errors are those of reading the source.
func (p *Part) Text(limit int64) (decoded *charset.Text, view *Part, err error) {
	if p.RawSize() <= limit {
		return p.decode(limit)
	}
	if p.large == nil {
		p.large = &largeText{}
	}
	if !p.large.known {
		text, view, err := p.decode(limit)
		if err != nil {
			return nil, nil, err
		}
		*p.large = largeText{true, text, nil}
		if view != p {
			p.large.repaired = view
		}
	}
	if p.large.repaired != nil {
		return p.large.text, p.large.repaired, nil
	}
	return p.large.text, p, nil
}

// largeText is what Text has found out about a text that is not in memory: several upstreams may ask.
type largeText struct {
	known    bool
	text     *charset.Text
	repaired *Part // the view, nil where that is the part itself
}

// decode is Text anew.
func (p *Part) decode(limit int64) (decoded *charset.Text, view *Part, err error) {
	for _, view := range []*Part{p.Repaired(), p} {
		e, err := view.encoded(limit)
		if err != nil {
			return nil, nil, err
		}
		if p.IsMultipart() {
			if is, err := isPlain(e); err != nil || !is {
				return nil, view, err
			}
		}
		label, err := p.charsetOf(e)
		if err != nil {
			return nil, nil, err
		}
		text, err := e.Decode(label)
		if err != nil {
			return nil, nil, err
		}
		if view == p || !text.HasControl() {
			text, err = p.unwrap(text)
			return &text, view, err
		}
	}
	return nil, nil, nil
}

// isPlain reports whether bytes can be a text in UTF-8.
func isPlain(e *charset.Encoded) (bool, error) {
	valid, err := e.IsUTF8()
	if err != nil || !valid {
		return false, err
	}
	nul, err := e.HasNUL()
	return !nul, err
}

// unwrap takes off a text what only format=flowed tells readers to take off (RFC 3676).
func (p *Part) unwrap(text charset.Text) (charset.Text, error) {
	if p.Type != "text/plain" || !strings.EqualFold(p.Params["format"], "flowed") {
		return text, nil
	}
	delSp := strings.EqualFold(p.Params["delsp"], "yes")
	return text.Through(func(r io.Reader) io.Reader { return flowed.NewReader(r, delSp) })
}

// charsetOf returns the charset of a text part: its label, or where that cannot be right and it is HTML, what
// its <meta> names, as browsers and mail programs read it.
func (p *Part) charsetOf(e *charset.Encoded) (string, error) {
	label := p.Params["charset"]
	switch strings.ToLower(label) {
	case "", "us-ascii", "ascii", "unknown-8bit", "x-unknown":
	default:
		return label, nil
	}
	if p.Type != "text/html" {
		return label, nil
	}
	if valid, err := e.IsUTF8(); valid || err != nil {
		return label, err
	}
	const prescan = 1024 // as HTML 13.2.3.2 has it
	raw, err := e.Head()
	if err != nil {
		return "", err
	}
	head := strings.ToLower(string(raw[:min(len(raw), prescan)]))
	for {
		meta, found := "", false
		if _, head, found = strings.Cut(head, "<meta"); !found {
			return label, nil
		}
		meta, _, _ = strings.Cut(head, ">")
		if _, value, found := strings.Cut(meta, "charset="); found {
			value = strings.TrimLeft(value, "\"' ")
			if end := strings.IndexAny(value, "\"'; />"); end >= 0 {
				value = value[:end]
			}
			return value, nil
		}
	}
}

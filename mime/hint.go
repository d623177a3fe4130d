package mime

import (
	"strings"
	"unicode/utf8"
)

// textCharset gives the charset that the first text of a message declares, "" where that tells
// nothing. Raw 8-bit header fields that are no UTF-8 are written in it, as far as anybody knows.
func textCharset(root *Part) string {
	if label := root.textCharset(); label != "" {
		return label
	}
	for p := range root.leaves {
		if label := p.textCharset(); label != "" {
			return label
		}
	}
	return ""
}

// textCharset gives the charset that the part declares itself, "" where that tells nothing.
func (p *Part) textCharset() string {
	switch label := strings.ToLower(p.Params["charset"]); label {
	case "us-ascii", "utf-8":
		return ""
	default:
		return label
	}
}

// useTextCharset reads the fields of the message and its parts in the charset of its text.
func (m *Message) useTextCharset() {
	m.charset = textCharset(m.Root)
	if m.charset == "" {
		return
	}
	if m.Header.inCharset(m.charset) {
		m.readFields()
	}
	m.Root.readNames(m.charset)
}

// inCharset marks the fields that are neither ASCII nor UTF-8 and tells whether there are any.
func (h Header) inCharset(label string) bool {
	found := false
	for i := range h {
		if label != "" && !utf8.Valid(h[i].Raw) {
			h[i].charset, found = label, true
		}
	}
	return found
}

// readNames reads the file names under p anew where their fields are in some charset.
func (p *Part) readNames(label string) {
	if own := p.Params["charset"]; own != "" {
		label = own
	}
	if p.Header.inCharset(label) {
		p.Name = newPart(p.source, p.Header, p.Type).Name
	}
	for _, c := range p.Children {
		c.readNames(label)
	}
}

// Package mime reads Internet messages (RFC 5322, RFC 2045) without losing a byte and edits their
// headers without touching the rest.
//
// A message stays where it is: what is parsed are offsets into its [Source]; contents are read and
// decoded on demand, in a stream. A malformed message is never an error: what cannot be
// understood stays available as bytes and has a defect.
//
// Limits keep hostile input cheap: multiparts nest 128 deep, a message has 1,000 parts, its header
// 1 MiB and 100,000 lines. The rest stays in one undivided part with a defect.
package mime

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"mailhatch/mime/charset"
)

// Message is a parsed message.
type Message struct {
	Source Source
	Header Header // as it is read: lines that are not fields are repaired, see [Mend]
	Root   *Part  // the message's own body as the top of the tree of parts

	From      []Address // empty when there is none that can be read
	Sender    *Address
	ReplyTo   []Address
	To, Cc    []Address // members of groups included
	Subject   string    // decoded
	MessageID string    // with brackets, "" when missing

	headerBytes []byte // without the empty line
	bodyOffset  int64
	charset     string // of raw 8-bit fields, "" where unknown
}

// HeaderSize returns how many bytes Parse takes for the header, or a little more. Errors are those of
// reading src.
func HeaderSize(src Source) (int64, error) {
	lines := newLineReader(src, headerBuffer)
	for lines.pos < maxHeader {
		l, err := lines.next()
		if err == io.EOF || err == nil && l.first && isEmptyLine(l.bytes) {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	return lines.pos, nil
}

// Parse parses a message. Errors are those of reading src.
func Parse(src Source) (*Message, error) {
	s := newScanner(src)
	raw, bodyOffset, defect, err := s.messageHeader()
	if err != nil {
		return nil, err
	}
	m := &Message{Source: src, Header: readable(ParseHeader(raw), "\n"), headerBytes: raw, bodyOffset: bodyOffset}
	m.Root = newPart(src, m.Header, "text/plain")
	m.Root.start, m.Root.end = bodyOffset, src.Size()
	m.Root.Defect = defect
	m.readFields()
	if err := s.tree(m.Root); err != nil {
		return nil, err
	}
	m.useTextCharset()
	return m, nil
}

// readFields fills the fields of Message that its header has.
func (m *Message) readFields() {
	m.From = joinSplitName(m.Header.addresses("From"))
	m.Sender = nil
	if s := m.Header.addresses("Sender"); len(s) > 0 {
		m.Sender = &s[0]
	}
	m.ReplyTo = m.Header.addresses("Reply-To")
	m.To = m.Header.addresses("To")
	m.Cc = m.Header.addresses("Cc")
	m.Subject = m.Header.Text("Subject")
	m.MessageID = messageID(m.Header.Get("Message-ID"))
}

// addresses reads all fields of that name: RFC 5322 3.6 allows one, programs write several.
func (h Header) addresses(name string) []Address {
	var all []Address
	for _, f := range h {
		if !strings.EqualFold(f.Name, name) {
			continue
		}
		list, _ := ParseAddressList(f.Value()) // what cannot be read stays in the header
		if all == nil {
			all = list
			continue
		}
		all = append(all, list...)
	}
	return all
}

// joinSplitName repairs "From: Doe, Ann <ann@x>", where the comma should have been quoted: bare words
// before the one real address are its name.
func joinSplitName(list []Address) []Address {
	last := len(list) - 1
	if last < 1 || !strings.Contains(list[last].Addr, "@") || list[last].Name == "" {
		return list
	}
	var words []string
	for _, a := range list[:last] {
		if strings.Contains(a.Addr, "@") || a.Name != "" {
			return list
		}
		words = append(words, a.Addr)
	}
	return []Address{{Name: strings.Join(append(words, list[last].Name), ", "), Addr: list[last].Addr}}
}

// messageID takes the first <id> of the value; programs that forget the brackets get them.
func messageID(v string) string {
	if i := strings.IndexByte(v, '<'); i >= 0 {
		if j := strings.IndexByte(v[i:], '>'); j > 0 {
			return v[i : i+j+1]
		}
	}
	if v = strings.Trim(v, "<> \t"); v == "" || strings.ContainsAny(v, " \t") {
		return ""
	}
	return "<" + v + ">"
}

// HeaderBytes returns the raw header without the empty line that ends it.
func (m *Message) HeaderBytes() []byte { return m.headerBytes }

// Charset is the charset of the first text, "" where that is no help: raw 8-bit header fields that are not
// UTF-8 are assumed to be in it.
func (m *Message) Charset() string { return m.charset }

// BodyOffset is where the body starts in Source, after the empty line.
func (m *Message) BodyOffset() int64 { return m.bodyOffset }

// Reader reads the whole message as it is.
func (m *Message) Reader() io.Reader { return io.NewSectionReader(m.Source, 0, m.Source.Size()) }

// Whole returns the message with its parts where they stand in its own Source: m itself, or the same message parsed
// anew when With has given it another header. Errors are those of reading the source.
func (m *Message) Whole() (*Message, error) {
	if m.Root.start == m.bodyOffset {
		return m, nil
	}
	return Parse(m.Source)
}

// With returns a message with an edited header and the same body; m stays as it is. Errors are those
// of reading the source.
//
// A message whose body follows its header without an empty line gets that line: without it the
// edited header would run into the body.
func (m *Message) With(edits ...Edit) (*Message, error) {
	tree := slices.ContainsFunc(edits, Edit.changesTree)
	return m.withHeader(EditHeader(m.headerBytes, edits...), tree)
}

// WithHeader is With for a header, without its empty line, that was edited by other means and says the same of
// the body's type.
func (m *Message) WithHeader(header []byte) (*Message, error) { return m.withHeader(header, false) }

// withHeader puts a header before the body, whose tree of parts may be another then.
func (m *Message) withHeader(header []byte, tree bool) (*Message, error) {
	rest := int64(len(m.headerBytes))
	top := header
	if rest == m.bodyOffset && rest < m.Source.Size() {
		top = append(header[:len(header):len(header)], LineEnd(header)...)
	}
	if bytes.Equal(top, m.headerBytes) { // most mail holds nothing that upstreams must not see
		same := *m
		return &same, nil
	}
	src := Concat(NewBytesSource(top), Section(m.Source, rest, m.Source.Size()-rest))
	if tree {
		return Parse(src)
	}
	w := *m
	w.Source = src
	w.bodyOffset = src.Size() - (m.Source.Size() - m.bodyOffset)
	w.headerBytes = header
	w.Header = readable(ParseHeader(w.headerBytes), "\n")
	w.Header.inCharset(m.charset)
	if m.Root.large == nil && m.Root.RawSize() > TextInMemory {
		m.Root.large = &largeText{} // for both
	}
	root := *m.Root // its content is read from the old source, whose bytes are the same
	root.Header = w.Header
	w.Root = &root
	w.readFields()
	return &w, nil
}

// textCharset returns the charset that the first text of a message declares, "" where that is no
// help. Raw 8-bit header fields that are not UTF-8 are assumed to be in it.
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

// textCharset returns the charset that the part declares itself, "" where it is not usable.
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

// inCharset marks the fields that are neither ASCII nor UTF-8 and reports whether there are any.
func (h Header) inCharset(label string) bool {
	found := false
	for i := range h {
		if label != "" && !charset.IsUTF8(h[i].Raw) {
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

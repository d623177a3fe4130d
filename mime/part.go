package mime

import (
	"errors"
	"io"
	"slices"
	"strings"

	"mailhatch/mime/transfer"
)

// Defects of the tree of parts.
var (
	ErrNoBoundary   = errors.New("multipart without boundary parameter")
	ErrNoParts      = errors.New("multipart whose boundary never comes")
	ErrTooDeep      = errors.New("multiparts nest too deep")
	ErrTooManyParts = errors.New("too many parts")
)

// Part is a node of the tree: a leaf with content, or a multipart with children.
type Part struct {
	Header      Header
	Type        string            // "text/plain" in lower case; RFC 2045 5.2 default where missing or unreadable
	Params      map[string]string // parameters of Content-Type, names in lower case, values decoded (RFC 2231); nil for none
	Disposition string            // "inline", "attachment", another token in lower case, or "" where missing
	Name        string            // file name from Content-Disposition or Content-Type, decoded, "" where missing
	ContentID   string            // without brackets
	Field       string            // name of the form field that it is (RFC 7578 4.2), "" for none
	Encoding    string            // Content-Transfer-Encoding in lower case, "" where missing
	Children    []*Part           // of a multipart; message/rfc822 is a leaf
	Defect      error             // why the content cannot be decoded as it is labelled; nil when it can

	source     Source
	headerAt   int64 // offset of the header in source; of the root it is 0
	start, end int64 // offsets of the body in source
	size       int64 // decoded size plus one, 0 while unknown
	partial    int64 // broken base64: size plus one of what can be decoded, 0 where nothing sensible can
	large      *largeText
}

// newPart reads the fields of a part's header.
func newPart(src Source, h Header, defaultType string) *Part {
	p := &Part{Header: h, Type: defaultType, source: src}
	h = readable(h, "\n")
	if v := h.Get("Content-Type"); v != "" {
		t, params := parseValue(v)
		if isMediaType(t) {
			p.Type = t
		} else {
			p.Type = "text/plain"
		}
		p.Params = params
	}
	disposition, params := parseValue(h.Get("Content-Disposition"))
	p.Disposition = disposition
	p.Name = fileName(params["filename"])
	switch {
	case disposition == "form-data":
		p.Field = fileName(params["name"])
	case p.Name == "":
		p.Name = fileName(params["name"])
	}
	if p.Name == "" {
		p.Name = fileName(p.Params["name"])
	}
	if p.Name == "" {
		p.Name = fileName(p.Params["filename"])
	}
	p.ContentID = ContentID(h.Get("Content-ID"))
	p.Encoding = strings.ToLower(h.Get("Content-Transfer-Encoding"))
	return p
}

// isMediaType checks type "/" subtype (RFC 2045 5.1).
func isMediaType(s string) bool {
	major, minor, ok := strings.Cut(s, "/")
	return ok && IsToken(major) && IsToken(minor)
}

// IsToken reports whether s is a token of RFC 2045 5.1.
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// ContentID takes the brackets off the value of a Content-ID field, or of what names one. Programs that fold a long
// one as encoded words mean what these say.
func ContentID(v string) string {
	if v = repair(v); strings.Contains(v, "=?") {
		v = strings.Join(strings.Fields(DecodeText(v)), "")
	}
	if i := strings.IndexByte(v, '<'); i >= 0 {
		v = v[i+1:]
		if j := strings.IndexByte(v, '>'); j >= 0 {
			v = v[:j]
		}
	}
	return clean(strings.TrimSpace(v))
}

// fileName removes what no file name has: control characters and white space around it.
func fileName(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s))
}

// IsMultipart reports whether the part is labelled multipart. Without children it has a Defect.
func (p *Part) IsMultipart() bool { return strings.HasPrefix(p.Type, "multipart/") }

func (p *Part) encoding() transfer.Encoding {
	if len(p.Children) > 0 || p.IsMultipart() {
		return transfer.Identity // RFC 2045 6.4 allows nothing else
	}
	return transfer.Parse(p.Encoding)
}

// Span is where a part stands in the Source of its message, as offsets. An empty line stands between the end of the
// header and the body, where there is one.
type Span struct{ Header, HeaderEnd, Body, End int64 }

// Span returns where the part stands, see [Message.Whole].
func (p *Part) Span() Span {
	s := Span{Header: p.headerAt, HeaderEnd: p.headerAt, Body: p.start, End: p.end}
	for _, f := range p.Header {
		s.HeaderEnd += int64(len(f.Raw))
	}
	return s
}

// Raw reads the content as it is in the message, still encoded.
func (p *Part) Raw() io.Reader { return io.NewSectionReader(p.source, p.start, p.end-p.start) }

// RawSize is the number of bytes of Raw.
func (p *Part) RawSize() int64 { return p.end - p.start }

// Open reads the decoded content: transfer encoding removed, charset untouched. With a Defect it
// reads the bytes as they are in the message.
func (p *Part) Open() io.Reader {
	if p.Defect == nil {
		if r := p.encoding().Decoder(p.Raw()); r != nil && p.size > 0 {
			return io.LimitReader(r, p.size-1)
		} else if r != nil {
			return r
		}
	}
	return p.Raw()
}

// Repaired returns the part as a mail program shows it: broken base64 decoded as far as it goes. It is p
// itself when nothing needs repair.
func (p *Part) Repaired() *Part {
	if p.partial == 0 {
		return p
	}
	v := *p
	v.Defect, v.size = nil, p.partial
	return &v
}

// DecodedSize returns the number of bytes of Open. Errors are those of reading the source.
func (p *Part) DecodedSize() (int64, error) {
	if p.Defect != nil || p.encoding() == transfer.Identity {
		return p.RawSize(), nil
	}
	if p.size > 0 {
		return p.size - 1, nil
	}
	return io.Copy(io.Discard, p.Open())
}

// Leaves returns the leaves of the tree under p in their order.
func (p *Part) Leaves() []*Part {
	return slices.Collect(p.leaves)
}

// leaves is Leaves as a sequence.
func (p *Part) leaves(yield func(*Part) bool) { p.visitLeaves(yield) }

// visitLeaves reports whether yield wants to go on.
func (p *Part) visitLeaves(yield func(*Part) bool) bool {
	if len(p.Children) == 0 {
		return yield(p)
	}
	for _, c := range p.Children {
		if !c.visitLeaves(yield) {
			return false
		}
	}
	return true
}

// Opaque returns why the message must not be flattened, and reads nothing.
func (m *Message) Opaque() string { return m.Root.opaque(true) }

// opaque finds the first part that flattening would destroy (RFC 1847, RFC 8551, RFC 2046 5.2). A PKCS #7 file
// that merely is attached survives as a file.
func (p *Part) opaque(root bool) string {
	switch p.Type {
	case "multipart/signed", "multipart/encrypted", "application/pgp-encrypted":
		return p.Type
	case "message/partial", "message/external-body": // their meaning is in parameters (RFC 2046 5.2.2, 5.2.3)
		if root && p.Params["id"]+p.Params["access-type"] != "" {
			return p.Type
		}
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		attached := p.Disposition == "attachment" && p.Name != "" && !strings.EqualFold(p.Name, "smime.p7m")
		if root || !attached {
			return p.Type
		}
	}
	for _, c := range p.Children {
		if t := c.opaque(false); t != "" {
			return t
		}
	}
	return ""
}

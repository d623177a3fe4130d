package api

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/transform"

	"mailhatch/mime"
	"mailhatch/mime/view"
	"mailhatch/upstream"
	"mailhatch/upstream/api/filetype"
)

// Message is a message as JSON APIs see it, without recipients.
type Message struct {
	From         mime.Address
	ReplyTo      []mime.Address
	Subject      string
	Text, HTML   Text
	Alternatives []Alternative // only where the API takes them
	Files        []File
	Headers      []Field
}

// Alternative is another way to show the body.
type Alternative struct {
	MediaType string
	Value     Text
}

// File is a part that travels as a file.
type File struct {
	Part      *mime.Part
	Name      string
	MediaType string
	Inline    bool
	ContentID string
}

// Form is how one JSON API differs from another.
type Form struct {
	Alternatives bool     // other bodies than text and HTML have a place
	Reserved     []string // header names that the API refuses
	KeepsID      bool     // Message-ID can be set
}

// alternativeLimit is how many bytes an alternative may have; larger ones travel as files.
const alternativeLimit = 4 << 20

// ReadMessage sorts a message for a JSON API. flatten permits flattening signed and encrypted messages.
func ReadMessage(m *upstream.Mail, form Form, flatten bool) (*Message, *upstream.Error) {
	msg := m.Message
	content, err := view.Of(msg)
	if err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	out := &Message{}
	if e := out.begin(m, flatten); e != nil {
		return nil, e
	}
	out.Subject, out.Headers = plainText(strings.Map(oneLine, msg.Subject)), headersOf(m, form)
	if out.Text, err = textOf(content.Text); err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	if out.HTML, err = textOf(content.HTML); err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	for _, p := range content.Alternatives {
		alt, ok, err := readAlternative(p)
		if err != nil {
			return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
		}
		if ok && form.Alternatives {
			out.Alternatives = append(out.Alternatives, alt)
			continue
		}
		out.Files = append(out.Files, File{Part: p, Name: alternativeName(p), MediaType: typeWithCharset(p)})
	}
	for _, a := range content.Attachments {
		if skip, err := isEmptyText(a.Part); err != nil {
			return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
		} else if skip {
			continue
		}
		out.Files = append(out.Files, File{a.Part, Line(a.Name), Line(a.Type), a.Inline && a.ContentID != "", Line(a.ContentID)})
	}
	return out, nil
}

// Refuses returns the error of ReadMessage that can be had without a look into the parts.
func Refuses(m *upstream.Mail, flatten bool) *upstream.Error { return new(Message).begin(m, flatten) }

// begin reads what can be refused without a look into the parts.
func (o *Message) begin(m *upstream.Mail, flatten bool) *upstream.Error {
	if opaque := m.Message.Opaque(); opaque != "" && !flatten {
		return Errorf(upstream.Unrepresentable, "5.6.1",
			"the message is %s, which an API that takes text and files apart would break", opaque)
	}
	return o.readSender(m)
}

// isEmptyText reports whether a part is an empty text without a name: as a file it would only confuse.
func isEmptyText(p *mime.Part) (bool, error) {
	if p.Name != "" || p.Disposition == "attachment" || !strings.HasPrefix(p.Type, "text/") {
		return false, nil
	}
	n, err := p.DecodedSize()
	return n == 0, err
}

// readAlternative decodes an alternative body to UTF-8; ok is false where that cannot be done whole.
func readAlternative(p *mime.Part) (alt Alternative, ok bool, err error) {
	if p.Defect != nil || !strings.HasPrefix(p.Type, "text/") {
		return alt, false, nil
	}
	size, err := p.DecodedSize()
	if err != nil || size == 0 || size > alternativeLimit {
		return alt, false, err
	}
	enc := encoding.Nop
	switch charset := strings.ToLower(p.Params["charset"]); charset {
	case "", "utf-8", "us-ascii", "utf8", "ascii":
	default:
		if enc, err = ianaindex.MIME.Encoding(charset); err != nil || enc == nil {
			return alt, false, nil //nolint:nilerr // nobody knows it
		}
	}
	alt.MediaType = typeWithMethod(p)
	if size > mime.TextInMemory {
		alt.Value, err = streamed(func() io.Reader {
			return transform.NewReader(enc.NewDecoder().Reader(p.Open()), encoding.UTF8Validator)
		}, nil)
		if err == encoding.ErrInvalidUTF8 {
			return alt, false, nil
		}
		return alt, err == nil, err
	}
	raw, err := io.ReadAll(p.Open())
	if err != nil {
		return alt, false, err
	}
	if raw, err = enc.NewDecoder().Bytes(raw); err != nil || !utf8.Valid(raw) {
		return alt, false, nil
	}
	alt.Value.small = plainText(string(raw))
	return alt, true, nil
}

// typeWithMethod is the media type with the one parameter that calendars live by (RFC 6047 2.4).
func typeWithMethod(p *mime.Part) string {
	if method := p.Params["method"]; method != "" {
		return p.Type + "; method=" + Line(method)
	}
	return p.Type
}

// typeWithCharset is typeWithMethod for a part whose bytes stay as they are: without the name of their
// charset they would be read as UTF-8.
func typeWithCharset(p *mime.Part) string {
	charset := strings.ToLower(p.Params["charset"])
	if enc, err := ianaindex.MIME.Encoding(charset); err != nil || enc == nil || charset == "utf-8" || charset == "us-ascii" {
		return typeWithMethod(p)
	}
	return typeWithMethod(p) + "; charset=" + charset
}

func alternativeName(p *mime.Part) string {
	if p.Name != "" {
		return Line(p.Name)
	}
	switch p.Type {
	case "text/calendar":
		return "invite.ics"
	case "text/x-amp-html":
		return "amp.html"
	}
	ext, _ := filetype.Extension(p.Type)
	return "alternative" + ext
}

// Line makes a string fit for one line of a header.
func Line(s string) string { return strings.TrimSpace(plainText(strings.Map(oneLine, s))) }

// OrSpace stands in where an API refuses an empty string.
func OrSpace(s string) string {
	if strings.TrimSpace(s) == "" {
		return " "
	}
	return s
}

var quotedPairs = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// FormatMailbox writes `Name <local@domain>`, the name as it is or quoted (RFC 5322 3.4), never encoded.
func FormatMailbox(a mime.Address) string {
	if a.Name == "" {
		return a.Addr
	}
	name := a.Name
	if strings.ContainsAny(name, `()<>[]:;@\,."`) {
		name = `"` + quotedPairs.Replace(name) + `"`
	}
	return Line(name) + " <" + a.Addr + ">"
}

// FormatMailboxes is FormatMailbox for a list.
func FormatMailboxes(list []mime.Address) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = FormatMailbox(a)
	}
	return out
}

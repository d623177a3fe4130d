package upstream

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/ianaindex"

	"mailhatch/mime"
)

// apiMessage is a message as JSON APIs see it, recipients apart.
type apiMessage struct {
	from         mime.Address
	replyTo      []mime.Address
	subject      string
	text, html   string
	alternatives []apiAlternative // only where the API takes them
	files        []apiFile
	headers      []apiHeader
}

// apiAlternative is another way to show the body.
type apiAlternative struct{ mediaType, value string }

// apiFile is a part that travels as a file.
type apiFile struct {
	part      *mime.Part
	name      string
	mediaType string
	inline    bool
	contentID string
}

// apiForm is what tells one JSON API from another.
type apiForm struct {
	alternatives bool     // other bodies than text and HTML have a place
	reserved     []string // header names that the API refuses
}

// apiTextLimit is how much of an alternative is held in memory; larger ones travel as files.
const apiTextLimit = 4 << 20

// readForAPI sorts a message for a JSON API. flatten permits taking signed and encrypted messages apart.
func readForAPI(m *Mail, form apiForm, flatten bool) (*apiMessage, *Error) {
	msg := m.Message
	content, err := msg.Content()
	if err != nil {
		return nil, &Error{Class: Temporary, Err: err}
	}
	out := &apiMessage{}
	if e := out.begin(m, flatten); e != nil {
		return nil, e
	}
	out.subject, out.headers = plainText(msg.Subject), apiHeaders(msg, form.reserved)
	if content.Text != nil {
		out.text = plainText(content.Text.Text)
	}
	if content.HTML != nil {
		out.html = plainText(content.HTML.Text)
	}
	for _, p := range content.Alternatives {
		alt, ok, err := readAlternative(p)
		if err != nil {
			return nil, &Error{Class: Temporary, Err: err}
		}
		if ok && form.alternatives {
			out.alternatives = append(out.alternatives, alt)
			continue
		}
		out.files = append(out.files, apiFile{part: p, name: alternativeName(p), mediaType: typeWithCharset(p)})
	}
	for _, a := range content.Attachments {
		if skip, err := isNothing(a.Part); err != nil {
			return nil, &Error{Class: Temporary, Err: err}
		} else if skip {
			continue
		}
		out.files = append(out.files, apiFile{a.Part, apiLine(a.Name), apiLine(a.Type), a.Inline && a.ContentID != "", apiLine(a.ContentID)})
	}
	return out, nil
}

// begin reads what can be refused without a look into the parts.
func (o *apiMessage) begin(m *Mail, flatten bool) *Error {
	if opaque := m.Message.Opaque(); opaque != "" && !flatten {
		return apiError(Unrepresentable, "5.6.1",
			"the message is %s, which an API that takes text and files apart would break", opaque)
	}
	return o.readSender(m)
}

// isNothing tells empty text parts that no one gave a name: nobody misses them, and as files they puzzle.
func isNothing(p *mime.Part) (bool, error) {
	if p.Name != "" || p.Disposition == "attachment" || !strings.HasPrefix(p.Type, "text/") {
		return false, nil
	}
	n, err := p.DecodedSize()
	return n == 0, err
}

// readAlternative decodes an alternative body to UTF-8; ok is false where that cannot be done whole.
func readAlternative(p *mime.Part) (alt apiAlternative, ok bool, err error) {
	if p.Defect != nil || !strings.HasPrefix(p.Type, "text/") {
		return alt, false, nil
	}
	raw, err := io.ReadAll(io.LimitReader(p.Open(), apiTextLimit+1))
	if err != nil {
		return alt, false, err
	}
	if len(raw) > apiTextLimit || len(raw) == 0 {
		return alt, false, nil
	}
	switch charset := strings.ToLower(p.Params["charset"]); charset {
	case "", "utf-8", "us-ascii", "utf8", "ascii":
	default:
		enc, err := ianaindex.MIME.Encoding(charset)
		if err != nil || enc == nil {
			return alt, false, nil
		}
		if raw, err = enc.NewDecoder().Bytes(raw); err != nil {
			return alt, false, nil
		}
	}
	if !utf8.Valid(raw) {
		return alt, false, nil
	}
	return apiAlternative{typeWithMethod(p), plainText(string(raw))}, true, nil
}

// typeWithMethod is the media type with the one parameter that calendars live by (RFC 6047 2.4).
func typeWithMethod(p *mime.Part) string {
	if method := p.Params["method"]; method != "" {
		return p.Type + "; method=" + apiLine(method)
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
		return apiLine(p.Name)
	}
	switch p.Type {
	case "text/calendar":
		return "invite.ics"
	case "text/x-amp-html":
		return "amp.html"
	}
	return "alternative" + extensionFor(p.Type)
}

// apiLine makes a string fit for one line of a header.
func apiLine(s string) string { return strings.TrimSpace(plainText(strings.Map(apiOneLine, s))) }

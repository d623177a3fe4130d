// Package view sorts the parts of a message by what a reader sees: bodies, alternatives, files.
package view

import (
	stdmime "mime"

	"mailhatch/mime"
	"mailhatch/mime/charset"
	"mailhatch/mime/markup"
	"mailhatch/mime/transfer"
)

// Content is a message as JSON APIs see it: bodies, alternatives and attachments. Each leaf of the
// tree is in exactly one place; originals ([Attachment.Original]) come on top.
type Content struct {
	Text, HTML   *Body        // nil where there is none
	Alternatives []*mime.Part // other ways to show the body: text/calendar, text/x-amp-html
	Attachments  []Attachment // all the rest, in order
	Opaque       string       // why the message must not be flattened: "multipart/signed", …; "" if it may be
}

// Body is a text body, with LF or CRLF as it came. Errors of its methods are those of reading the source.
type Body struct {
	charset.Text
	Part *mime.Part
}

// Shows returns one of these content ids, none of them empty, that stands behind a cid: in the text; "" for none.
// Errors are those of reading the message.
func (b *Body) Shows(ids []string) (string, error) { return markup.FindShown(b.Open(), ids) }

// Attachment is a part that travels as a file.
type Attachment struct {
	Part      *mime.Part
	Name      string // never empty: made from the type where the part has none
	Type      string // "text/calendar; method=REQUEST": media type with its parameters but name=
	Inline    bool   // shown in the HTML body through its ContentID
	ContentID string // without brackets, "" where missing

	// Original marks the bytes of a part that is already in another place, but could not be decoded
	// there without doubt or loss: a text body with bytes its charset does not have, broken base64.
	Original bool
}

// Of sorts the parts for an API that takes bodies and attachments. Errors are those of
// reading the source.
//
// The first body that a mail program shows is the body: a text part, or the last plain text and the
// last HTML of a multipart/alternative. Later texts of a multipart/mixed are attachments, so that
// readers of the HTML and of the text both find them.
//
// Bodies of more than [mime.TextInMemory] bytes are not held in memory.
func Of(m *mime.Message) (*Content, error) { return within(m, mime.TextInMemory) }

func within(m *mime.Message, limit int64) (*Content, error) {
	s := &sorter{content: &Content{Opaque: m.Opaque()}, limit: limit}
	if err := s.part(m.Root, place{root: true, body: true}); err != nil {
		return nil, err
	}
	if err := s.markInline(); err != nil {
		return nil, err
	}
	s.nameAll()
	return s.content, nil
}

// sorter puts parts in their places.
type sorter struct {
	content *Content
	limit   int64 // of bodies in memory
	decided bool  // the body was found: further texts are attachments
}

// place is where in the tree a part stands.
type place struct {
	root bool
	body bool // a body may stand here
}

func (s *sorter) part(p *mime.Part, at place) error {
	if len(p.Children) == 0 {
		return s.leaf(p, at)
	}
	switch p.Type {
	case "multipart/alternative":
		return s.alternative(p, at)
	case "multipart/related":
		return s.related(p, at)
	}
	for i, c := range p.Children {
		if at.body && i > 0 {
			if twin, err := s.twin(p.Children[i-1], c); err != nil || twin {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := s.part(c, place{body: at.body}); err != nil {
			return err
		}
	}
	return nil
}

func (s *sorter) leaf(p *mime.Part, at place) error {
	switch {
	case !at.body || s.decided:
	case isBodyPart(p, at.root):
		return s.setBody(p)
	case at.root && isAlternative(p): // an invitation that is nothing else
		s.content.Alternatives = append(s.content.Alternatives, p)
		return nil
	}
	if at.body && isAlternative(p) && p.Name == "" && p.Params["method"] != "" && len(s.content.Alternatives) == 0 {
		// An invitation beside the text, which mail programs offer to answer.
		s.content.Alternatives = append(s.content.Alternatives, p)
		return nil
	}
	s.attach(p)
	return nil
}

// isBodyPart reports whether a leaf can be the text that a mail program shows.
func isBodyPart(p *mime.Part, root bool) bool {
	if p.Disposition == "attachment" || p.Name != "" && !root {
		return false
	}
	if p.Type == "text/plain" || p.Type == "text/html" {
		return true
	}
	return root && p.IsMultipart() // without parts: shown as text where it is readable
}

// setBody makes p the text or HTML body. It is an attachment when its bytes are not text at all.
func (s *sorter) setBody(p *mime.Part) error {
	text, view, err := p.Text(s.limit)
	if err != nil {
		return err
	}
	if text == nil {
		s.attach(p)
		return nil
	}
	body := &Body{Text: *text, Part: p}
	place := &s.content.Text
	if p.Type == "text/html" {
		place = &s.content.HTML
	}
	if old := *place; old != nil {
		s.attach(old.Part) // a blank text before the real one, an HTML beside an alternative that has its own
	}
	*place = body
	if !body.Exact || view != p {
		s.attachOriginal(p)
	}
	s.decided = !body.IsBlank()
	return nil
}

// alternative takes the last plain text and the last HTML (RFC 2046 5.1.4: the last is the best).
func (s *sorter) alternative(p *mime.Part, at place) error {
	if !at.body || s.decided {
		for _, c := range p.Children {
			if err := s.part(c, place{}); err != nil {
				return err
			}
		}
		return nil
	}
	text, html := -1, -1
	for i, c := range p.Children {
		switch bodyKind(c) {
		case "text/plain":
			text = i
		case "text/html":
			html = i
		}
	}
	for i, c := range p.Children {
		if err := s.alternativeChild(c, i == text || i == html); err != nil {
			return err
		}
	}
	s.decided = s.content.Text != nil || s.content.HTML != nil
	return nil
}

func (s *sorter) alternativeChild(c *mime.Part, chosen bool) error {
	switch {
	case chosen:
		// Each chosen child sets its own body; the other one must not stop it.
		s.decided = false
		return s.part(c, place{body: true})
	case isAlternative(c):
		s.content.Alternatives = append(s.content.Alternatives, c)
		return nil
	}
	return s.part(c, place{})
}

// isAlternative reports whether a leaf shows the body in a way that some APIs take beside text and HTML.
func isAlternative(p *mime.Part) bool {
	return len(p.Children) == 0 && p.Defect == nil && p.Disposition != "attachment" &&
		(p.Type == "text/calendar" || p.Type == "text/x-amp-html")
}

// bodyKind returns the type of the body that a subtree has: of its first part that is one.
func bodyKind(p *mime.Part) string {
	if len(p.Children) == 0 {
		if isBodyPart(p, false) {
			return p.Type
		}
		return ""
	}
	if p.Type == "multipart/related" {
		return bodyKind(p.Children[rootOf(p)])
	}
	kind := ""
	for _, c := range p.Children {
		if k := bodyKind(c); k != "" {
			kind = k
			if p.Type != "multipart/alternative" {
				break
			}
		}
	}
	return kind
}

// related takes the root as the body and the rest as what it shows (RFC 2387).
func (s *sorter) related(p *mime.Part, at place) error {
	root := rootOf(p)
	if err := s.part(p.Children[root], place{body: at.body}); err != nil {
		return err
	}
	for i, c := range p.Children {
		if i == root {
			continue
		}
		if err := s.part(c, place{}); err != nil {
			return err
		}
	}
	return nil
}

// rootOf is the index of the child that the start parameter names, else of the first.
func rootOf(p *mime.Part) int {
	start := mime.ContentID(p.Params["start"])
	for i, c := range p.Children {
		if start != "" && c.ContentID == start {
			return i
		}
	}
	return 0
}

func (s *sorter) attach(p *mime.Part) {
	view := p.Repaired()
	s.content.Attachments = append(s.content.Attachments, Attachment{
		Part:      view,
		Name:      p.Name,
		Type:      attachmentType(view),
		ContentID: p.ContentID,
		// Parts with Content-ID and no disposition are inline, whatever multipart they are in.
		Inline: p.ContentID != "" && p.Disposition != "attachment",
	})
	if view != p {
		s.attachOriginal(p)
	}
}

// attachOriginal adds the bytes of a part whose decoding lost something or was a guess.
func (s *sorter) attachOriginal(p *mime.Part) {
	a := Attachment{Part: p, Type: "application/octet-stream", Original: true} // not to be converted
	if p.Name != "" && p.Defect == transfer.ErrBrokenBase64 {
		a.Name = p.Name + ".b64"
	}
	s.content.Attachments = append(s.content.Attachments, a)
}

// markInline finds attachments that the HTML shows although they call themselves attachments.
func (s *sorter) markInline() error {
	ids := map[string]bool{} // shown
	for _, a := range s.content.Attachments {
		if a.ContentID != "" && !a.Original && !a.Inline {
			ids[a.ContentID] = false
		}
	}
	if s.content.HTML == nil || len(ids) == 0 {
		return nil
	}
	if err := markup.MarkShown(s.content.HTML.Open(), ids); err != nil {
		return err
	}
	for i := range s.content.Attachments {
		a := &s.content.Attachments[i]
		a.Inline = a.Inline || !a.Original && ids[a.ContentID]
	}
	return nil
}

// attachmentType writes the media type with its parameters but the name.
func attachmentType(p *mime.Part) string {
	if p.Defect != nil {
		return "application/octet-stream" // the bytes are not of the declared type
	}
	params := map[string]string{}
	for k, v := range p.Params {
		if k != "name" && k != "filename" && mime.IsToken(k) && v != "" {
			params[k] = v
		}
	}
	if t := stdmime.FormatMediaType(p.Type, params); t != "" {
		return t
	}
	return p.Type
}

// twin takes an HTML part as the HTML body when it has the same words as the plain text body right before
// it: many programs write multipart/mixed where multipart/alternative is meant.
func (s *sorter) twin(before, p *mime.Part) (bool, error) {
	text := s.content.Text
	if text == nil || text.Part != before || s.content.HTML != nil || len(p.Children) > 0 ||
		p.Type != "text/html" || !isBodyPart(p, false) || p.Defect != nil {
		return false, nil
	}
	shown, _, err := p.Text(s.limit)
	if err != nil || shown == nil || !shown.Exact {
		return false, err
	}
	same, err := markup.SaysSame(text.Open(), shown.Open())
	if err != nil || !same {
		return false, err
	}
	s.content.HTML = &Body{Text: *shown, Part: p}
	return true, nil
}

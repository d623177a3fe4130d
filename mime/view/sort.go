package view

import (
	"mailhatch/mime"
	"mailhatch/mime/markup"
)

// views are the bodies that a part is seen in.
type views uint8

const (
	asText views = 1 << iota
	asHTML
)

// sorter puts parts in their places.
type sorter struct {
	content *Content
	limit   int64 // of a text in memory
	left    int64 // for all of them
	begun   bool  // a text that is not blank was found

	text, html []piece // of the two bodies, in their order
	size       sizes   // of what is not blank in them
}

// piece is one of the parts that a body is made of.
type piece struct {
	part *mime.Part
	body *Body // of this part alone; nil for a picture
	file int   // of a picture: its index in Attachments
}

func (p *piece) isHTML() bool { return p.body != nil && p.part.Type == "text/html" }

// place is where in the tree a part stands.
type place struct {
	root bool
	in   views // the bodies that it may be in
	best bool  // it is an alternative or the root of what is related: whatever its name, no file
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
		twin := false
		var err error
		if i > 0 {
			twin, err = s.twin(p.Children[i-1], c)
		}
		if !twin && err == nil {
			err = s.part(c, place{in: at.in})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *sorter) leaf(p *mime.Part, at place) error {
	switch {
	case at.in == 0:
	case s.isBody(p, at) && s.hasRoom(p, at.in):
		return s.addText(p, at.in)
	case isAlternative(p) && (at.root || s.isInvitation(p)):
		s.content.Alternatives = append(s.content.Alternatives, p)
		return nil
	case at.in&asHTML != 0 && isPicture(p):
		s.html = append(s.html, piece{part: p, file: len(s.content.Attachments)})
	}
	s.attach(p)
	return nil
}

// isInvitation reports whether mail programs offer to answer an alternative that stands beside the text.
func (s *sorter) isInvitation(p *mime.Part) bool {
	return p.Name == "" && p.Params["method"] != "" && len(s.content.Alternatives) == 0
}

// isBody reports whether a leaf is text that a mail program shows.
func (s *sorter) isBody(p *mime.Part, at place) bool {
	switch {
	case !isText(p):
		return at.root && p.IsMultipart() // without parts: shown as text where it is readable
	case p.Field != "" && s.begun:
		return false // what it says is an answer to that question
	case p.Name == "" || at.root || at.best:
		return true
	}
	return !s.begun && isBodyName(p.Name) // the letter itself, by a program that names everything
}

// addText puts a text into bodies. It is an attachment when its bytes are not text at all.
func (s *sorter) addText(p *mime.Part, in views) error {
	body, view, exact, err := s.decode(p)
	if err != nil {
		return err
	}
	if body == nil {
		s.attach(p)
		return nil
	}
	s.add(piece{part: p, body: body}, in)
	switch {
	case !exact || view != p:
		s.attachOriginal(p)
	case isEnriched(p) || isOtherText(p):
		before := len(s.content.Attachments)
		s.attach(p)
		for i := range s.content.Attachments[before:] { // a repaired part comes with its bytes as they were
			s.content.Attachments[before+i].Original = true
		}
	}
	return nil
}

func (s *sorter) add(p piece, in views) {
	if in&asText != 0 {
		s.text = append(s.text, p)
	}
	if in&asHTML != 0 {
		s.html = append(s.html, p)
	}
	if !p.body.IsBlank() {
		s.begun = true
		s.size.add(p.part, in)
	}
}

// decode reads a text; body is nil where it is none. view is the part as mail programs show it, exact whether
// nothing was lost.
func (s *sorter) decode(p *mime.Part) (body *Body, view *mime.Part, exact bool, err error) {
	limit := min(s.limit, s.left)
	text, view, err := p.Text(limit)
	if err != nil || text == nil {
		return nil, view, false, err
	}
	if _, held := text.Held(); held {
		s.left -= p.RawSize()
	}
	body = bodyOf(p, text)
	if isEnriched(p) && p.RawSize() <= Together {
		through := markup.Enriched
		if p.Type == "text/richtext" {
			through = markup.RichText
		}
		if body.open != nil {
			limit = 0
		}
		body, err = made(body.Parts, limit, convert(body, through))
	}
	return body, view, text.Exact, err
}

// alternative takes the last plain text and the last HTML (RFC 2046 5.1.4: the last is the best).
func (s *sorter) alternative(p *mime.Part, at place) error {
	text, html := best(p.Children, asText), best(p.Children, asHTML)
	for i, c := range p.Children {
		var in views
		if i == text || i == html && text < 0 {
			in |= at.in & asText
		}
		if i == html || i == text && html < 0 {
			in |= at.in & asHTML
		}
		if in == 0 && at.in != 0 && isAlternative(c) {
			s.content.Alternatives = append(s.content.Alternatives, c)
			continue
		}
		if err := s.part(c, place{in: in, best: true}); err != nil {
			return err
		}
	}
	return nil
}

// best is the index of the last alternative that has such a body, -1 for none. What is plain comes before other
// texts, and what has no name before what has one.
func best(list []*mime.Part, in views) int {
	found, most := -1, 0
	for i, c := range list {
		if bodiesOf(c)&in == 0 {
			continue
		}
		rank := 1
		if c.Name == "" {
			rank++
		}
		if len(c.Children) > 0 || c.Type == "text/plain" || c.Type == "text/html" {
			rank += 2
		}
		if rank >= most {
			found, most = i, rank
		}
	}
	return found
}

// bodiesOf returns the bodies that a subtree has itself: as HTML if some of it is, as text if all of it is.
func bodiesOf(p *mime.Part) views {
	switch {
	case len(p.Children) == 0 && !isText(p):
		return 0
	case len(p.Children) == 0 && p.Type == "text/html":
		return asHTML
	case len(p.Children) == 0:
		return asText
	case p.Type == "multipart/related":
		_, in := rootOf(p)
		return in
	}
	found, all := views(0), asText
	for _, c := range p.Children {
		in := bodiesOf(c)
		found |= in
		if in != 0 {
			all &= in
		}
	}
	if p.Type == "multipart/alternative" || found&asText == 0 {
		return found
	}
	return found&asHTML | all
}

// isAlternative reports whether a leaf shows the body in a way that some APIs take beside text and HTML.
func isAlternative(p *mime.Part) bool {
	return len(p.Children) == 0 && p.Defect == nil && p.Disposition != "attachment" &&
		(p.Type == "text/calendar" || p.Type == "text/x-amp-html")
}

// wholeAlternatives leaves no AMP that would stand for the whole body and shows only one of its parts: it is a file.
func (s *sorter) wholeAlternatives() {
	shown := 0
	for _, p := range s.html {
		if p.body == nil || !p.body.IsBlank() {
			shown++
		}
	}
	if shown < 2 {
		return
	}
	kept := s.content.Alternatives[:0]
	for _, p := range s.content.Alternatives {
		if p.Type == "text/x-amp-html" {
			s.attach(p)
			continue
		}
		kept = append(kept, p)
	}
	s.content.Alternatives = kept
}

// related takes the root as the body and the rest as what it shows (RFC 2387).
func (s *sorter) related(p *mime.Part, at place) error {
	root, _ := rootOf(p)
	if err := s.part(p.Children[root], place{in: at.in, best: true}); err != nil {
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

// rootOf is the index of the child that the start parameter names, else of the first, and the bodies that it has
// itself. Where that has none, a program has mixed up their order: the first one that has is meant.
func rootOf(p *mime.Part) (index int, in views) {
	start := mime.ContentID(p.Params["start"])
	for i, c := range p.Children {
		if start != "" && c.ContentID == start {
			return i, bodiesOf(c)
		}
	}
	for i, c := range p.Children {
		if in := bodiesOf(c); in != 0 {
			return i, in
		}
	}
	return 0, 0
}

// twin takes an HTML part as the alternative of the plain text right before it when it has the same words: many
// programs write multipart/mixed where multipart/alternative is meant.
func (s *sorter) twin(before, p *mime.Part) (bool, error) {
	last := len(s.text) - 1
	if last < 0 || s.text[last].part != before || before.Type == "text/html" ||
		len(s.html) == 0 || s.html[len(s.html)-1].part != before ||
		p.Type != "text/html" || !isText(p) || p.Defect != nil || p.Name != "" && (before.Name == "" || !isBodyName(p.Name)) ||
		before.RawSize()+p.RawSize() > Together {
		return false, nil
	}
	left := s.left
	shown, _, exact, err := s.decode(p)
	if err != nil || shown == nil || !exact {
		s.left = left
		return false, err
	}
	same, err := markup.SaysSame(s.text[last].body.Open(), shown.Open())
	if err != nil || !same {
		s.left = left
		return false, err
	}
	s.html[len(s.html)-1] = piece{part: p, body: shown}
	s.size.html += p.RawSize() - before.RawSize()
	return true, nil
}

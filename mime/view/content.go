// Package view tells what a reader of a message sees: which parts are in the body, in which order, and which are files.
package view

import "mailhatch/mime"

// Content is a message as JSON APIs see it: bodies, alternatives and attachments. Each leaf of the
// tree is in exactly one place; originals ([Attachment.Original]) come on top.
type Content struct {
	Text, HTML   *Body        // nil where there is none
	Alternatives []*mime.Part // other ways to show the body: text/calendar, text/x-amp-html
	Attachments  []Attachment // all the rest, in order
	Opaque       string       // why the message must not be flattened: "multipart/signed", …; "" if it may be
}

// Attachment is a part that travels as a file.
type Attachment struct {
	Part      *mime.Part
	Name      string // never empty: made from the type where the part has none
	Type      string // "text/calendar; method=REQUEST": media type with its parameters but name=
	Inline    bool   // shown in the HTML body through its ContentID
	ContentID string // without brackets, "" where missing

	// Original marks the bytes of a part that is already in another place, but could not be decoded
	// there without doubt or loss: a text body with bytes its charset does not have, broken base64, text/enriched.
	Original bool
}

// Of sorts the parts for an API that takes bodies and attachments. Errors are those of
// reading the source.
//
// What a reader sees in the body, in its order, is in the bodies (RFC 2046 5.1): texts and HTML texts one after the
// other, the last plain text and the last HTML of a multipart/alternative, pictures between them. A part is a file
// when it says so, when its name does, or when no mail program shows it.
//
// One body part is the body as it is. Of several, those of the text body and those of the HTML are put together: HTML
// is made readable in the text, text is escaped in the HTML. Beyond [Together] bytes only the first is in the body.
//
// Bodies of more than [mime.TextInMemory] bytes are not held in memory.
func Of(m *mime.Message) (*Content, error) { return within(m, mime.TextInMemory) }

// textsInMemory is how many of the largest texts in memory all texts may take together.
const textsInMemory = 4

func within(m *mime.Message, limit int64) (*Content, error) {
	s := &sorter{content: &Content{Opaque: m.Opaque()}, limit: limit, left: textsInMemory * limit}
	if err := s.part(m.Root, place{root: true, in: asText | asHTML}); err != nil {
		return nil, err
	}
	if err := s.pictures(m.Root); err != nil {
		return nil, err
	}
	s.wholeAlternatives()
	s.nameAll()
	var err error
	if s.content.Text, err = s.textBody(); err != nil {
		return nil, err
	}
	if s.content.HTML, err = s.htmlBody(); err != nil {
		return nil, err
	}
	return s.content, nil
}

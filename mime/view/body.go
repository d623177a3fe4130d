package view

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailhatch/mime"
	"mailhatch/mime/charset"
	"mailhatch/mime/markup"
)

// Body is a text body in UTF-8: of one part, with LF or CRLF as it came, or put together of several. It is the same
// each time that it is read. Errors of its methods are those of reading the source.
type Body struct {
	Parts []*mime.Part // that are seen in it, in their order; some may be blank

	text  string
	open  func() io.Reader // of a text that is not in memory, else nil
	size  int64            // unknown of one that was put together and not read yet
	json  int64            // as a JSON string, without its quotes; unknown of one that was made of others
	blank bool
}

const unknown = -1

// Held returns the text where it is in memory; ok is false for one that Open reads.
func (b *Body) Held() (text string, ok bool) { return b.text, b.open == nil }

// Open reads the text.
func (b *Body) Open() io.Reader {
	if b.open == nil {
		return strings.NewReader(b.text)
	}
	return b.open()
}

// Size is the number of bytes that Open gives.
func (b *Body) Size() (int64, error) {
	if b.size == unknown {
		return io.Copy(io.Discard, b.Open())
	}
	return b.size, nil
}

// JSONSize is how many bytes the text has in JSON, see [charset.Text.JSONSize]. Known is false for one that has to be read
// for that.
func (b *Body) JSONSize() (n int64, known bool) { return b.json, b.json != unknown }

// IsEmpty reports whether there is nothing at all.
func (b *Body) IsEmpty() bool { return b.size == 0 }

// IsBlank reports whether there is nothing but white space.
func (b *Body) IsBlank() bool { return b.blank }

// Shows returns one of these content ids, none of them empty, that stands behind a cid: in the text; "" for none.
func (b *Body) Shows(ids []string) (string, error) { return markup.FindShown(b.Open(), ids) }

// bodyOf is the text of one part.
func bodyOf(p *mime.Part, text *charset.Text) *Body {
	b := &Body{Parts: []*mime.Part{p}, size: text.Size(), json: text.JSONSize(), blank: text.IsBlank()}
	held, ok := text.Held()
	if b.text = held; !ok {
		b.open = text.Open
	}
	return b
}

// convert reads a body through a function of package markup.
func convert(b *Body, through func(io.Reader) io.Reader) func() io.Reader {
	return func() io.Reader { return through(b.Open()) }
}

// made reads a text that is made of another one, and holds it where it has at most limit bytes.
func made(parts []*mime.Part, limit int64, open func() io.Reader) (*Body, error) {
	b := &Body{Parts: parts, json: unknown, blank: true}
	r := bufio.NewReader(open())
	var start bytes.Buffer
	for b.blank {
		c, n, err := r.ReadRune()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		b.size += int64(n)
		if b.size <= limit+utf8.UTFMax {
			start.WriteRune(c)
		}
		b.blank = unicode.IsSpace(c)
	}
	n, err := io.Copy(&start, io.LimitReader(r, max(0, limit+1-b.size)))
	if err != nil {
		return nil, err
	}
	rest, err := io.Copy(io.Discard, r)
	if err != nil {
		return nil, err
	}
	if b.size += n + rest; b.size <= limit {
		b.text = start.String()
	} else {
		b.open = open
	}
	return b, nil
}

// madeOf is made of texts one of which is not blank. It reads them only where all are in memory: to read large ones
// takes as long as to send them.
func (s *sorter) madeOf(list []piece, open func() io.Reader) (*Body, error) {
	parts := make([]*mime.Part, 0, len(list))
	held := true
	for _, p := range list {
		if p.body != nil {
			parts = append(parts, p.part)
			held = held && p.body.open == nil
		}
	}
	if held {
		return made(parts, s.limit, open)
	}
	return &Body{Parts: parts, open: open, size: unknown, json: unknown}, nil
}

// textBody puts the text body together; it is nil where the message has HTML only.
func (s *sorter) textBody() (*Body, error) {
	var shown []piece
	var blank *Body
	plain := false
	for _, p := range s.text {
		switch {
		case p.body.IsBlank():
			if blank == nil && !p.isHTML() {
				blank = p.body
			}
		default:
			shown = append(shown, p)
			plain = plain || !p.isHTML()
		}
	}
	switch {
	case !plain:
		return blank, nil
	case len(shown) == 1:
		return shown[0].body, nil
	}
	list := &sequence{apart: true}
	for _, p := range shown {
		open := p.body.Open
		if p.isHTML() {
			open = convert(p.body, markup.Readable)
		}
		list.items = append(list.items, open)
	}
	return s.madeOf(s.text, list.open)
}

// htmlBody puts the HTML together; it is nil where there is text only.
func (s *sorter) htmlBody() (*Body, error) {
	var shown, documents []piece
	var blank *Body
	pictures := false
	for _, p := range s.html {
		switch {
		case p.body == nil:
			pictures, shown = true, append(shown, p)
		case !p.body.IsBlank():
			shown = append(shown, p)
			if p.isHTML() {
				documents = append(documents, p)
			}
		case blank == nil && p.isHTML():
			blank = p.body
		}
	}
	switch {
	case len(shown) == 0:
		return blank, nil
	case len(documents) == 0 && !pictures && s.inText(shown):
		return nil, nil
	case len(shown) == 1 && (pictures || len(documents) == 1):
		return shown[0].body, nil
	}
	list := &sequence{}
	if err := s.join(list, shown, documents); err != nil {
		return nil, err
	}
	return s.madeOf(s.html, list.open)
}

// inText reports whether the text body has all of these too. Text beside blank HTML in an alternative is in the HTML alone.
func (s *sorter) inText(list []piece) bool {
	return !slices.ContainsFunc(list, func(p piece) bool {
		return !slices.ContainsFunc(s.text, func(t piece) bool { return t.part == p.part })
	})
}

// join writes one HTML document: with the tags of the first one and the heads of all, then what each shows.
func (s *sorter) join(list *sequence, shown, documents []piece) error {
	frames := make([]markup.Frame, len(documents))
	for i, p := range documents {
		var err error
		if frames[i], err = markup.FrameOf(p.body.Open()); err != nil {
			return err
		}
	}
	first := markup.Frame{Doctype: "<!DOCTYPE html>"}
	if len(frames) > 0 {
		first = frames[0]
	}
	list.literal(first.Doctype + cmp.Or(first.HTML, "<html>") + "\r\n<head>")
	for _, p := range documents {
		list.items = append(list.items, convert(p.body, markup.Head))
	}
	list.literal("</head>\r\n" + first.BodyTag() + "\r\n")
	document := 0
	for _, p := range shown {
		switch {
		case p.body == nil:
			a := &s.content.Attachments[p.file]
			list.literal(fmt.Sprintf("<div><img src=\"cid:%s\" alt=\"%s\" style=\"max-width: 100%%\"></div>\r\n", a.ContentID, html.EscapeString(a.Name)))
		case p.isHTML():
			list.literal(frames[document].BodyStyle(document == 0))
			document++
			list.items = append(list.items, convert(p.body, markup.Contents))
			list.literal("</div>\r\n")
		default: // a line end behind <pre> is none of the text (HTML 13.1.2.5)
			list.literal("<pre style=\"white-space: pre-wrap\">\r\n")
			list.items = append(list.items, convert(p.body, markup.Escaped))
			list.literal("</pre>\r\n")
		}
	}
	list.literal("</body></html>\r\n")
	return nil
}

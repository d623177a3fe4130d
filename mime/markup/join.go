package markup

import (
	"bytes"
	"html"
	"io"
	"slices"
	"strings"

	xhtml "golang.org/x/net/html"
)

// Frame is what stands around the contents of an HTML document: its tags as they are, "" where missing.
type Frame struct {
	Doctype, HTML, Body string
	Base                string // the URL that others start from
}

// maxFrame is how many bytes of a tag are kept in memory with a document.
const maxFrame = 4 << 10

// document reads an HTML document in its two parts.
type document struct {
	*tokens
	frame  Frame
	inBody bool
	inner  string // the element that is left out, or goes along with the head, up to its end tag
	kept   bool   // so is what the token begins with
	open   elements
}

func newDocument(r io.Reader) *document { return &document{tokens: newTokens(r)} }

// FrameOf reads a document up to its body. Errors are those of reading.
func FrameOf(r io.Reader) (Frame, error) {
	d := newDocument(r)
	for !d.inBody {
		if err := d.next(); err == io.EOF {
			break
		} else if err != nil {
			return Frame{}, err
		}
		d.head()
	}
	return d.frame, nil
}

// Head reads what the head of a document has for those who show it: styles, comments for Outlook.
func Head(r io.Reader) io.Reader {
	d := newDocument(r)
	return &generated{step: func(out []byte) ([]byte, error) {
		if err := d.next(); err != nil {
			return append(append(out, d.end()...), d.endOfHead()...), err
		}
		if d.head() {
			out = d.copy(out)
		}
		if d.inBody {
			return append(out, d.endOfHead()...), io.EOF
		}
		return out, nil
	}}
}

// Contents reads what stands in the body of a document, every element closed.
func Contents(r io.Reader) io.Reader {
	d := newDocument(r)
	return &generated{step: func(out []byte) ([]byte, error) {
		if err := d.next(); err == io.EOF && d.inBody {
			return append(append(out, d.end()...), d.open.endTags()...), err
		} else if err != nil {
			return out, err
		}
		if !d.inBody {
			d.head()
		}
		if d.first && d.inBody {
			d.kept = d.body()
		}
		if d.inBody && d.kept {
			out = d.copy(out)
		}
		return out, nil
	}}
}

// copy appends the token; the text of <plaintext>, which nothing ends, as text.
func (d *document) copy(out []byte) []byte {
	switch {
	case d.text == "plaintext" && d.kind == xhtml.TextToken:
		return append(out, html.EscapeString(string(d.raw))...)
	case d.text == "plaintext":
		return out
	}
	out = append(out, d.raw...)
	if d.kind == xhtml.CommentToken && d.whole && isOpenComment(d.raw) {
		out = append(out, "-->"...)
	}
	return out
}

// endOfHead ends an element of the head whose end tag is missing.
func (d *document) endOfHead() string {
	if d.inner != "" && d.inner != "title" {
		return "</" + d.inner + ">"
	}
	return ""
}

// head takes a token that stands before the body and reports whether the head goes along with it.
func (d *document) head() bool {
	tag := d.kind == xhtml.StartTagToken || d.kind == xhtml.SelfClosingTagToken
	switch {
	case d.inner != "":
		kept := d.inner != "title"
		if d.kind == xhtml.EndTagToken && d.name == d.inner {
			d.inner = ""
		}
		return kept
	case d.kind == xhtml.DoctypeToken:
		keep(&d.frame.Doctype, d.tokens)
	case d.kind == xhtml.CommentToken:
		return true
	case d.kind == xhtml.TextToken:
		d.inBody = len(bytes.TrimSpace(d.raw)) > 0
	case d.kind == xhtml.EndTagToken:
		d.inBody = d.name == "head"
	case tag && d.name == "html":
		keep(&d.frame.HTML, d.tokens)
	case tag && d.name == "body":
		keep(&d.frame.Body, d.tokens)
		d.inBody = true
	case tag:
		return d.headElement()
	}
	return false
}

// headElement takes a start tag.
func (d *document) headElement() bool {
	switch d.name {
	case "base": // it would be that of all documents
		if base := d.attribute("href"); d.frame.Base == "" && len(base) <= maxFrame {
			d.frame.Base = base
		}
		return false
	case "head", "basefont", "bgsound":
		return false
	case "meta": // the charset is another one now
		return d.attribute("name") != ""
	case "link":
		return true
	case "title", "style", "script", "noscript", "noframes", "template":
		d.inner = d.name
		return d.name != "title"
	}
	d.inBody = true
	return false
}

// keep takes the first tag of its kind.
func keep(tag *string, t *tokens) {
	if *tag == "" && t.whole && len(t.raw) <= maxFrame {
		*tag = string(t.raw)
	}
}

// body takes a token of the body and reports whether it stays.
func (d *document) body() bool {
	if d.inner != "" {
		if d.kind == xhtml.EndTagToken && d.name == d.inner {
			d.inner = ""
		}
		return false
	}
	switch d.kind {
	case xhtml.DoctypeToken:
		return false
	case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
		switch d.name {
		case "html", "head", "body", "base", "meta":
			return false
		case "title":
			d.inner = d.name
			return false
		}
		if d.kind == xhtml.StartTagToken || d.open.count["svg"]+d.open.count["math"] == 0 { // elsewhere /> ends nothing
			d.open.start(d.name)
		}
	case xhtml.EndTagToken:
		switch d.name {
		case "html", "head", "body":
			return false
		}
		return d.open.end(d.name)
	}
	return true
}

// BodyTag is the <body> of a document to which others are joined: styles may name it. How it looks is for its own part,
// in BodyStyle: a text that follows would be black on its black.
func (f Frame) BodyTag() string { return f.tag("body", "class", "id") }

// BodyStyle is the start tag of a <div> that looks as the <body> of a frame does.
func (f Frame) BodyStyle(first bool) string {
	if first {
		return f.tag("div", "dir", "lang", "style")
	}
	return f.tag("div", "dir", "lang", "style", "class")
}

// tag is a start tag with some attributes of the <body>; with style also what came before styles (HTML 15.3.1).
func (f Frame) tag(name string, attributes ...string) string {
	t := newTokens(strings.NewReader(f.Body))
	if t.next() != nil {
		return "<" + name + ">"
	}
	tag := xhtml.Token{Type: xhtml.StartTagToken, Data: name}
	style, old := -1, ""
	for key, value := range t.attributes {
		switch {
		case key == "bgcolor" && isColor(value):
			old += "background-color: " + cssColor(value) + "; "
		case key == "text" && isColor(value):
			old += "color: " + cssColor(value) + "; "
		case slices.Contains(attributes, key):
			if key == "style" {
				style = len(tag.Attr)
			}
			tag.Attr = append(tag.Attr, xhtml.Attribute{Key: key, Val: value})
		}
	}
	switch {
	case old == "" || !slices.Contains(attributes, "style"):
	case style >= 0:
		tag.Attr[style].Val = old + tag.Attr[style].Val
	default:
		tag.Attr = append(tag.Attr, xhtml.Attribute{Key: "style", Val: strings.TrimSuffix(old, "; ")})
	}
	return tag.String()
}

// isColor reports whether a color is a word or hexadecimal digits, with or without their #.
func isColor(s string) bool {
	return s != "" && len(s) <= 30 && strings.Trim(s, "#0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// cssColor writes the # that an old attribute may do without.
func cssColor(s string) string {
	if len(s) == 6 && strings.Trim(s, "0123456789abcdefABCDEF") == "" {
		return "#" + s
	}
	return s
}

// elements are those that are open, of those that need an end tag.
type elements struct {
	names []string
	count map[string]int
}

const mostOpen = 512 // as browsers have it

func (e *elements) start(name string) {
	if !needsEnd(name) || len(e.names) >= mostOpen && !isRawText(name) {
		return
	}
	if e.count == nil {
		e.count = map[string]int{}
	}
	e.names = append(e.names, name)
	e.count[name]++
}

// end reports whether an end tag ends an element of this document.
func (e *elements) end(name string) bool {
	if !needsEnd(name) || len(e.names) >= mostOpen {
		return true
	}
	if e.count[name] == 0 {
		return false
	}
	for more := true; more; {
		last := e.names[len(e.names)-1]
		e.names = e.names[:len(e.names)-1]
		e.count[last]--
		more = last != name
	}
	return true
}

func (e *elements) endTags() string {
	var b strings.Builder
	for i := len(e.names) - 1; i >= 0; i-- {
		b.WriteString("</" + e.names[i] + ">")
	}
	return b.String()
}

// needsEnd reports whether an element ends at its end tag only (HTML 13.1.2).
func needsEnd(name string) bool {
	switch name {
	case "plaintext", // nothing ends it
		"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr", // void
		"p", "li", "dt", "dd", "rb", "rt", "rp", "option", "optgroup", "colgroup", "caption", "thead", "tbody", "tfoot", "tr", "td", "th":
		return false
	}
	return true
}

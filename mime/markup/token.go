package markup

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxToken is how many bytes of a token are seen in one piece.
const maxToken = 64 << 10

// tokens reads HTML token by token in bounded memory. A token longer than maxToken comes in pieces, all of its kind.
type tokens struct {
	kind  html.TokenType
	raw   []byte // the token as it stands, valid until the next one
	name  string // of the element that a tag is of, in lower case
	first bool   // the token begins here
	whole bool   // the token is not cut
	text  string // the element whose text is not HTML and goes on: "style"; "" for none

	r      pushedBack
	z      *html.Tokenizer
	long   bool   // the token goes on
	dashes int    // at the end of the last piece of a long comment
	piece  []byte // buffer of a long token
}

// pushedBack is a reader that gives back what was read too far.
type pushedBack struct {
	first []byte
	r     io.Reader
}

func (p *pushedBack) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.r.Read(b)
}

func newTokens(r io.Reader) *tokens {
	t := &tokens{r: pushedBack{r: r}}
	t.tokenize()
	return t
}

// tokenize starts at what is to be read next.
func (t *tokens) tokenize() {
	inside := t.text != ""
	if inside {
		t.r.first = append([]byte("<"+t.text+">"), t.r.first...)
	}
	t.z = html.NewTokenizer(&t.r)
	t.z.SetMaxBuf(maxToken)
	if inside {
		t.z.Next()
	}
}

// giveBack starts anew with some bytes and what the tokenizer did not come to.
func (t *tokens) giveBack(b []byte) {
	t.r.first = append(append(bytes.Clone(b), t.z.Buffered()...), t.r.first...)
	t.tokenize()
}

// next reads a token; io.EOF at the end. A tag that never ends is none.
func (t *tokens) next() error {
	if t.first = !t.long; t.long {
		return t.goOn()
	}
	t.kind = t.z.Next()
	t.raw, t.whole = t.z.Raw(), len(t.z.Raw()) < maxToken
	switch t.kind {
	case html.ErrorToken:
		err := t.z.Err()
		if err != html.ErrBufferExceeded || len(t.raw) < 2 {
			return err
		}
		t.kind = html.StartTagToken
		if t.raw[1] == '/' {
			t.kind = html.EndTagToken
		}
		t.name = tagName(t.raw)
		t.begin()
	case html.TextToken:
		if !t.whole {
			n := uncut(t.raw, "&<")
			t.giveBack(t.raw[n:])
			t.raw = t.raw[:n]
		}
	case html.CommentToken, html.DoctypeToken:
		if !t.whole {
			t.begin()
		}
	case html.EndTagToken:
		t.name, t.text = tagName(t.raw), ""
	case html.StartTagToken, html.SelfClosingTagToken:
		if t.name = tagName(t.raw); isRawText(t.name) {
			t.text = t.name
		}
	}
	return nil
}

// begin expects more of a token.
func (t *tokens) begin() {
	t.long, t.whole = true, false
	t.dashes = len(t.raw) - len(bytes.TrimRight(t.raw, "-"))
	comment := bytes.HasPrefix(t.raw, []byte("<!--"))
	if !comment {
		t.dashes = -1
	}
	t.r.first = append(bytes.Clone(t.z.Buffered()), t.r.first...)
}

// goOn reads a further piece of a long token.
func (t *tokens) goOn() error {
	if t.piece == nil {
		t.piece = make([]byte, generatedAtOnce)
	}
	n, err := t.r.Read(t.piece)
	if n == 0 && err != nil {
		t.raw = nil
		return err
	}
	for i, c := range t.piece[:n] {
		switch {
		case c == '>' && (t.dashes < 0 || t.dashes >= 2):
			t.raw, t.long = t.piece[:i+1], false
			t.r.first = append(bytes.Clone(t.piece[i+1:n]), t.r.first...)
			if t.kind == html.StartTagToken && isRawText(t.name) {
				t.text = t.name
			}
			t.tokenize()
			return nil
		case t.dashes < 0:
		case c == '-':
			t.dashes++
		default:
			t.dashes = 0
		}
	}
	t.raw = t.piece[:n]
	return nil
}

// end is what closes a token that the HTML ends within.
func (t *tokens) end() string {
	switch {
	case t.long && t.dashes >= 0:
		return "-->"
	case t.long:
		return `'">`
	}
	return ""
}

// isOpenComment reports whether a comment that is the last token has no end.
func isOpenComment(raw []byte) bool {
	s := string(raw[max(0, len(raw)-4):])
	if bytes.HasPrefix(raw, []byte("<!--")) {
		return !strings.HasSuffix(s, "-->") && s != "--!>"
	}
	return !strings.HasSuffix(s, ">")
}

// attributes yields those of the tag that was read last, decoded, their names in lower case.
func (t *tokens) attributes(yield func(name, value string) bool) {
	if !t.whole {
		return
	}
	_, more := t.z.TagName()
	for more {
		var name, value []byte
		name, value, more = t.z.TagAttr()
		if !yield(string(name), string(value)) {
			return
		}
	}
}

// attribute returns one of them, "" for none.
func (t *tokens) attribute(name string) string {
	for n, value := range t.attributes {
		if n == name {
			return value
		}
	}
	return ""
}

// tagName is the name of a tag in lower case.
func tagName(raw []byte) string {
	var name [longName]byte
	n := 0
	for _, c := range bytes.TrimPrefix(raw[1:], []byte("/")) {
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '/' || c == '>' || n == len(name):
			return atom.String(name[:n])
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		name[n] = c
		n++
	}
	return atom.String(name[:n])
}

const longName = 64 // bytes of a name; the rest tells nothing

// isRawText reports whether what an element holds is no HTML.
func isRawText(name string) bool {
	switch name {
	case "iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "textarea", "title", "xmp":
		return true
	}
	return false
}

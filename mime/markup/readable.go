package markup

import (
	"bytes"
	"html"
	"io"
	"strings"

	xhtml "golang.org/x/net/html"
)

// Readable is what an HTML text says, for those who read plain text: paragraphs and rows on lines of their own,
// links behind their words. Lines end with CRLF.
func Readable(r io.Reader) io.Reader {
	w := &readable{tokens: newTokens(r)}
	return &generated{step: func(out []byte) ([]byte, error) {
		err := w.next()
		if err != nil {
			if w.begun && err == io.EOF {
				out = append(out, "\r\n"...)
			}
			return out, err
		}
		w.out = out
		w.token()
		return w.out, nil
	}}
}

// readable writes lines.
type readable struct {
	*tokens
	out   []byte
	begun bool // something was written
	lines int  // line ends that come before what is written next
	space bool // and a space before it
	pre   int  // open <pre> elements, whose white space counts
	lists int  // open lists

	link     string // the target of the link that is open, "" for none
	linkText []byte // its text, as far as it may be the same
}

// token takes one.
func (w *readable) token() {
	switch w.kind {
	case xhtml.TextToken:
		if w.text == "" || w.text == "textarea" || w.text == "plaintext" || w.text == "xmp" {
			w.words(html.UnescapeString(string(w.raw)))
		}
	case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
		if w.first {
			w.start()
		}
	case xhtml.EndTagToken:
		if w.first {
			w.end()
		}
	}
}

// words writes text, its white space as HTML has it.
func (w *readable) words(s string) {
	if w.pre > 0 {
		for line := range strings.Lines(s) {
			text := strings.TrimRight(line, "\r\n")
			w.write(text)
			if text != line {
				w.line()
			}
		}
		return
	}
	for s != "" {
		i := strings.IndexAny(s, " \t\r\n\f")
		if i < 0 {
			w.write(s)
			return
		}
		w.write(s[:i])
		w.space = true
		s = strings.TrimLeft(s[i:], " \t\r\n\f")
	}
}

func (w *readable) write(s string) {
	if s == "" {
		return
	}
	if w.lines > 0 || !w.begun {
		w.space = false
	}
	for ; w.lines > 0 && w.begun; w.lines-- {
		w.out = append(w.out, "\r\n"...)
	}
	w.lines = 0
	if w.space {
		w.out = append(w.out, ' ')
	}
	w.begun, w.space = true, false
	w.out = append(w.out, s...)
	if w.link != "" && len(w.linkText) < len(w.link) {
		w.linkText = append(w.linkText, s...)
	}
}

// line has one more line end before what is written next.
func (w *readable) line() { w.lines = min(w.lines+1, mostLines) }

const mostLines = 1000 // without anything in them

// breaks has at least so many line ends before what is written next.
func (w *readable) breaks(n int) { w.lines = max(w.lines, n) }

func (w *readable) start() {
	switch w.name {
	case "br":
		w.line()
	case "pre", "xmp":
		w.breaks(1)
		w.pre++
	case "td", "th":
		w.space = true
	case "ul", "ol":
		w.breaks(1)
		w.lists++
	case "li":
		w.breaks(1)
		w.write(strings.Repeat("  ", min(max(w.lists, 1), 8)-1) + "-")
		w.space = true
	case "hr":
		w.breaks(1)
		w.write("----")
		w.breaks(1)
	case "img":
		if alt := strings.TrimSpace(w.attribute("alt")); alt != "" {
			w.write("[" + strings.Join(strings.Fields(alt), " ") + "]")
		}
	case "a":
		w.endLink()
		const longest = 2 << 10
		if target := strings.TrimSpace(w.attribute("href")); len(target) <= longest && (hasScheme(target, "http:") || hasScheme(target, "https:")) {
			w.link, w.linkText = target, w.linkText[:0]
		}
	default:
		w.breaks(linesAround(w.name))
	}
}

func (w *readable) end() {
	switch w.name {
	case "a":
		w.endLink()
	case "pre", "xmp":
		w.pre = max(0, w.pre-1)
		w.breaks(1)
	case "ul", "ol":
		w.lists = max(0, w.lists-1)
		w.breaks(1)
	default:
		w.breaks(linesAround(w.name))
	}
}

// endLink writes where a link leads, where its text does not say so.
func (w *readable) endLink() {
	link := w.link
	w.link = ""
	if link != "" && len(w.linkText) > 0 && !bytes.Contains([]byte(link), bytes.TrimRight(w.linkText, "/")) {
		w.space = true
		w.write("<" + link + ">")
	}
}

func hasScheme(url, scheme string) bool {
	return len(url) > len(scheme) && strings.EqualFold(url[:len(scheme)], scheme)
}

// linesAround is how many line ends stand before and behind an element at least.
func linesAround(name string) int {
	switch name {
	case "p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "dl":
		return 2
	case "div", "tr", "dt", "dd", "form", "fieldset", "center", "address", "article", "aside", "footer", "header", "main", "nav",
		"section", "figure", "figcaption", "caption", "option", "body", "details", "summary":
		return 1
	}
	return 0
}

package markup

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/net/html"
)

// Referring is HTML in which replace puts other URLs in place of those of pictures: it returns one, or ok is false.
// Whatever it leaves alone stays as it is, byte by byte.
func Referring(r io.Reader, replace func(url string) (other string, ok bool)) io.Reader {
	t := newTokens(r)
	return &generated{step: func(out []byte) ([]byte, error) {
		err := t.next()
		switch {
		case err == nil:
		case err == io.EOF: // with what a tag without end has
			return append(out, t.raw...), err
		default:
			return out, err
		}
		switch {
		case t.kind == html.TextToken && t.text == "style":
			if css, changed := replaceInCSS(string(t.raw), replace); changed {
				return append(out, css...), nil
			}
		case t.whole && (t.kind == html.StartTagToken || t.kind == html.SelfClosingTagToken) && bytes.IndexByte(t.raw, '=') > 0:
			at := len(out)
			out = append(out, t.raw...) // before the tokenizer writes names into it in lower case
			if tag, changed := replaceInTag(out, t, replace); changed {
				return append(out[:at], tag[len(out):]...), nil
			}
			return out, nil
		}
		return append(out, t.raw...), nil
	}}
}

// replaceInTag appends the tag anew where a URL in it is another one.
func replaceInTag(out []byte, t *tokens, replace func(string) (string, bool)) (tag []byte, changed bool) {
	tag = append(append(out, '<'), t.name...)
	for name, value := range t.attributes {
		other, ok := "", false
		switch name {
		case "src", "background", "poster":
			other, ok = replace(strings.TrimSpace(value))
		case "style":
			other, ok = replaceInCSS(value, replace)
		}
		if ok {
			value, changed = other, true
		}
		tag = append(append(append(append(tag, ' '), name...), `="`...), html.EscapeString(value)...)
		tag = append(tag, '"')
	}
	if t.kind == html.SelfClosingTagToken {
		tag = append(tag, '/')
	}
	return append(tag, '>'), changed
}

// replaceInCSS replaces URLs in a style sheet (CSS 2.2, 4.3.4).
func replaceInCSS(css string, replace func(string) (string, bool)) (string, bool) {
	const start = "url("
	var b strings.Builder
	changed := false
	for rest := css; ; {
		i := indexFold(rest, start)
		if i < 0 {
			if !changed {
				return css, false
			}
			b.WriteString(rest)
			return b.String(), true
		}
		i += len(start)
		b.WriteString(rest[:i])
		rest = rest[i:]
		n := cssEnd(rest)
		url := strings.Trim(strings.TrimSpace(rest[:n]), `"'`)
		if other, ok := replace(url); ok {
			b.WriteString(other)
			changed = true
		} else {
			b.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
}

// cssEnd is where a URL ends: before the bracket that is not in quotes.
func cssEnd(s string) int {
	open := strings.TrimLeft(s, " \t\r\n\f")
	from := 0
	if open != "" && (open[0] == '"' || open[0] == '\'') {
		at := len(s) - len(open) + 1
		if i := strings.IndexByte(s[at:], open[0]); i >= 0 {
			from = at + i
		}
	}
	if i := strings.IndexByte(s[from:], ')'); i >= 0 {
		return from + i
	}
	return len(s)
}

// indexFold is strings.Index for a word of ASCII in any case.
func indexFold(s, word string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], word[len(word)-1])
		if i < 0 {
			return -1
		}
		if at := from + i + 1 - len(word); at >= 0 && strings.EqualFold(s[at:at+len(word)], word) {
			return at
		}
		from += i + 1
	}
}

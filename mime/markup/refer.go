package markup

import (
	"bytes"
	"io"
	"regexp"
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
			raw := bytes.Clone(t.raw) // the tokenizer writes names into it in lower case
			if tag, changed := replaceInTag(t, replace); changed {
				return append(out, tag...), nil
			}
			return append(out, raw...), nil
		}
		return append(out, t.raw...), nil
	}}
}

func replaceInTag(t *tokens, replace func(string) (string, bool)) (tag string, changed bool) {
	token := html.Token{Type: t.kind, Data: t.name}
	for name, value := range t.attributes {
		other, ok := value, false
		switch name {
		case "src", "background", "poster":
			other, ok = replace(strings.TrimSpace(value))
		case "style":
			other, ok = replaceInCSS(value, replace)
		}
		if ok {
			value, changed = other, true
		}
		token.Attr = append(token.Attr, html.Attribute{Key: name, Val: value})
	}
	if !changed {
		return "", false
	}
	return token.String(), true
}

// cssURL is a URL in a style sheet (CSS 2.2, 4.3.4).
var cssURL = regexp.MustCompile(`(?i)\burl\(\s*("[^"]*"|'[^']*'|[^)'"\s]*)\s*\)`)

func replaceInCSS(css string, replace func(string) (string, bool)) (string, bool) {
	changed := false
	css = cssURL.ReplaceAllStringFunc(css, func(s string) string {
		other, ok := replace(strings.Trim(cssURL.FindStringSubmatch(s)[1], `"'`))
		if !ok {
			return s
		}
		changed = true
		return "url(" + other + ")"
	})
	return css, changed
}

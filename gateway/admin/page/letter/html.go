package letter

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"

	"mailhatch/mime"
)

// Policy is the content security policy of a document that WriteHTML has written. A browser that obeys it runs nothing,
// fetches nothing, sends nothing and lets no link take the place of the page around; with remote it fetches pictures.
func Policy(remote bool) string {
	pictures := "data:"
	if remote {
		pictures += " https: http:"
	}
	return "default-src 'none'; img-src " + pictures + "; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; " +
		"sandbox allow-popups allow-popups-to-escape-sandbox"
}

const (
	maxTag      = 8 << 20 // bytes of one tag or text of HTML, pictures in data: URLs included
	maxPictures = 8 << 20 // bytes of the message's own pictures in the HTML; beyond it they are files alone
)

// head is what stands before the HTML of a mail: mail is made for a white page, and its links lead out of the frame.
const head = `<!doctype html><meta charset="utf-8"><base target="_blank"><style>html{background:#fff;color:#111}` +
	`body{margin:16px;font:16px/1.5 system-ui,sans-serif;overflow-wrap:break-word}img{max-width:100%}</style>` + "\n"

// WriteHTML writes the HTML text as a document of its own. The browser is kept from harm by Policy; what the policy
// stops is left out as well: scripts, frames, targets of forms and, unless remote, the addresses of what would be fetched.
// It returns how many such addresses there were.
func (l *Letter) WriteHTML(w io.Writer, remote bool) (fetches int, err error) {
	out := bufio.NewWriter(w)
	_, _ = out.WriteString(head) // Flush returns the error
	c := &cleaner{out: out, remote: remote, pictures: l.pictures()}
	if l.content.HTML != nil {
		if err := c.clean(l.content.HTML.Open()); err != nil {
			return 0, err
		}
	}
	return c.fetches, out.Flush()
}

// pictures returns the parts that HTML may show, by their content ids.
func (l *Letter) pictures() map[string]*mime.Part {
	parts := map[string]*mime.Part{}
	for _, a := range l.content.Attachments {
		if a.ContentID != "" && strings.HasPrefix(a.Part.Type, "image/") && !a.Original {
			parts[a.ContentID] = a.Part
		}
	}
	return parts
}

// cleaner copies HTML without what a reader does not need to see.
type cleaner struct {
	out      *bufio.Writer
	remote   bool
	pictures map[string]*mime.Part
	used     int64 // bytes of pictures
	fetches  int
	skipped  string // the element whose end is waited for
}

// dropped are elements that go with all that is in them.
func dropped(name string) bool {
	switch name {
	case "script", "iframe", "frame", "frameset", "object", "embed", "applet", "noscript", "noframes", "portal", "fencedframe", "audio", "video", "template",
		"animate", "animatetransform", "animatemotion", "set": // of SVG: they change attributes
		return true
	}
	return false
}

func (c *cleaner) clean(r io.Reader) error {
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxTag)
	style := false
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) && !errors.Is(err, html.ErrBufferExceeded) {
				return err
			}
			return nil
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			style = t.Data == "style"
			c.start(&t, kind)
		case html.EndTagToken:
			raw := bytes.Clone(z.Raw())
			name, _ := z.TagName()
			style = false
			c.end(string(name), raw)
		case html.TextToken:
			text := z.Raw()
			if c.skipped != "" {
				continue
			}
			if style {
				text = []byte(c.styles(string(text)))
			}
			_, _ = c.out.Write(text)
		}
		// Comments, doctypes and what only looks like such are left out.
	}
}

// end writes an end tag.
func (c *cleaner) end(name string, raw []byte) {
	switch {
	case c.skipped == name:
		c.skipped = ""
	case c.skipped == "" && !dropped(name):
		_, _ = c.out.Write(raw)
	}
}

// start writes a start tag.
func (c *cleaner) start(t *html.Token, kind html.TokenType) {
	switch {
	case c.skipped != "":
		return
	case dropped(t.Data):
		if kind == html.StartTagToken && t.Data != "embed" && t.Data != "frame" {
			c.skipped = t.Data
		}
		c.count(t)
		return
	case t.Data == "base", t.Data == "meta", t.Data == "link":
		c.count(t)
		return
	}
	attrs := t.Attr[:0]
	for _, a := range t.Attr {
		if c.attribute(t.Data, &a) {
			attrs = append(attrs, a)
		}
	}
	t.Attr = attrs
	if t.Data == "a" || t.Data == "area" {
		t.Attr = append(t.Attr, html.Attribute{Key: "rel", Val: "noopener noreferrer"}, html.Attribute{Key: "target", Val: "_blank"})
	}
	_, _ = c.out.WriteString(t.String())
}

// count counts what an element that is left out would have fetched.
func (c *cleaner) count(t *html.Token) {
	for _, a := range t.Attr {
		if (a.Key == "src" || a.Key == "href" && t.Data == "link" || a.Key == "data") && isRemote(a.Val) {
			c.fetches++
		}
	}
}

// attribute changes an attribute of an element, or reports false where it is left out.
func (c *cleaner) attribute(element string, a *html.Attribute) bool {
	key := strings.ToLower(a.Key)
	if i := strings.LastIndexByte(key, ':'); i >= 0 && key[i+1:] == "href" { // xlink:href of SVG, whatever its prefix
		key = "href"
	}
	switch key {
	case "srcdoc", "ping", "target", "rel", "action", "formaction", "autofocus", "http-equiv", "integrity", "nonce":
		return false
	case "href":
		return c.reference(element, a)
	case "src", "background", "poster", "lowsrc", "dynsrc":
		return c.source(a)
	case "srcset", "imagesrcset":
		if strings.Contains(a.Val, "//") {
			c.fetches++
		}
		return c.remote
	}
	if key == "style" || fetches(a.Val) { // of SVG: fill="url(…)"
		a.Val = c.styles(a.Val)
	}
	return !strings.HasPrefix(key, "on")
}

// fetches reports whether a value of an attribute is one of a style that may fetch.
func fetches(value string) bool {
	if !strings.ContainsRune(value, '(') {
		return false
	}
	value = strings.ToLower(unescaped(value))
	return strings.Contains(value, "url(") || strings.Contains(value, "image-set(")
}

// reference decides about an href: people follow that of a link, browsers fetch that of a picture of SVG. Others stay where they
// lead within the mail.
func (c *cleaner) reference(element string, a *html.Attribute) bool {
	switch element {
	case "a", "area":
		return isLink(a.Val)
	case "image", "feimage":
		return c.source(a)
	}
	if isRemote(a.Val) {
		c.fetches++
	}
	return strings.HasPrefix(strings.TrimSpace(a.Val), "#")
}

// source puts the message's own pictures in place of their content ids.
func (c *cleaner) source(a *html.Attribute) bool {
	ref := strings.TrimSpace(a.Val)
	if id, ok := cutCID(ref); ok {
		data, ok := c.picture(id)
		a.Val = data
		return ok
	}
	if isRemote(ref) {
		c.fetches++
		return c.remote
	}
	return isPicture(ref)
}

// cutCID returns the content id that a URL names (RFC 2392 section 2).
func cutCID(ref string) (string, bool) {
	if len(ref) <= 4 || !strings.EqualFold(ref[:4], "cid:") {
		return "", false
	}
	if id, err := url.PathUnescape(ref[4:]); err == nil {
		return id, true
	}
	return ref[4:], true
}

func isPicture(ref string) bool { return strings.HasPrefix(strings.ToLower(ref), "data:image/") }

// picture returns the data: URL of a picture of the message.
func (c *cleaner) picture(id string) (string, bool) {
	p := c.pictures[id]
	if p == nil {
		return "", false
	}
	b, err := io.ReadAll(io.LimitReader(p.Open(), maxPictures-c.used+1))
	if err != nil || c.used+int64(len(b)) > maxPictures {
		return "", false
	}
	c.used += int64(len(b))
	return "data:" + p.Type + ";base64," + base64.StdEncoding.EncodeToString(b), true
}

// styles takes the addresses out of a style, and counts them. Letters of its words may be written as escapes.
func (c *cleaner) styles(text string) string {
	fetched := regexp.MustCompile(`(?i)url\(\s*["']?\s*([^"')]*)["']?\s*\)|(?:-webkit-)?image-set\(\s*["'][^)]*\)|@import[^;]*;?`)
	return fetched.ReplaceAllStringFunc(unescaped(text), func(found string) string {
		ref := strings.TrimSpace(fetched.FindStringSubmatch(found)[1])
		if id, ok := cutCID(ref); ok {
			if data, ok := c.picture(id); ok {
				return "url(" + data + ")"
			}
			return "none"
		}
		if isPicture(ref) || strings.HasPrefix(ref, "#") {
			return found
		}
		c.fetches++
		if c.remote && isRemote(ref) {
			return found
		}
		return "none"
	})
}

// unescaped returns a style whose escapes of letters, digits and hyphens (CSS Syntax Level 3 section 4.3.7) are these.
func unescaped(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	escape := regexp.MustCompile(`\\(?:([0-9a-fA-F]{1,6})[ \t\r\n\f]?|([g-zG-Z-]))`)
	return escape.ReplaceAllStringFunc(text, func(found string) string {
		m := escape.FindStringSubmatch(found)
		if m[2] != "" {
			return m[2]
		}
		switch r, _ := strconv.ParseInt(m[1], 16, 32); {
		case '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', r == '-':
			return string(rune(r))
		}
		return found
	})
}

// isRemote reports whether an address is one of another machine.
func isRemote(ref string) bool {
	ref = strings.TrimSpace(ref)
	if strings.HasPrefix(ref, "//") || strings.HasPrefix(ref, `\\`) {
		return true
	}
	u, err := url.Parse(ref)
	return err != nil || slices.Contains([]string{"http", "https", "ftp"}, strings.ToLower(u.Scheme))
}

// isLink reports whether a link leads somewhere that a person may go by a click.
func isLink(ref string) bool {
	ref = strings.TrimSpace(ref)
	if strings.HasPrefix(ref, "#") {
		return true
	}
	u, err := url.Parse(ref)
	return err == nil && slices.Contains([]string{"http", "https", "mailto", "tel"}, strings.ToLower(u.Scheme))
}

package api_test

import (
	"bytes"
	"encoding/base64"
	"io"
	stdmime "mime"
	"mime/multipart"
	"net/mail"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"mailhatch/upstream/upstreamtest"
)

// sight is what readers of a mail see: words and pictures in their order. nil: there is no such body.
type sight struct {
	html, text []string
	files      []string // name and content of each file and picture, sorted
}

// node is a part, or a multipart with children, as read with the standard library alone.
type node struct {
	kind, disposition, name, id, location string
	data                                  []byte
	children                              []*node
}

func base64Lines(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) + "\r\n" }

// readOriginal reads a message in the order of RFC 2046 5.1, without any of mailhatch's own code.
func readOriginal(t *testing.T, raw []byte) sight {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	r := &referenceReader{}
	r.walk(readNode(t, m.Header, m.Body), true, true, true)
	return r.see()
}

func readNode(t *testing.T, h mail.Header, body io.Reader) *node {
	t.Helper()
	kind, params, err := stdmime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	disposition, more, _ := stdmime.ParseMediaType(h.Get("Content-Disposition"))
	n := &node{kind: kind, disposition: disposition, name: more["filename"], id: strings.Trim(h.Get("Content-ID"), "<>"), location: h.Get("Content-Location")}
	if n.name == "" {
		n.name = params["name"]
	}
	if strings.HasPrefix(kind, "multipart/") {
		for r := multipart.NewReader(body, params["boundary"]); ; {
			p, err := r.NextRawPart()
			if err == io.EOF {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			n.children = append(n.children, readNode(t, mail.Header(p.Header), p))
		}
	}
	if h.Get("Content-Transfer-Encoding") == "base64" {
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	if n.data, err = io.ReadAll(body); err != nil {
		t.Fatal(err)
	}
	return n
}

// referenceReader collects what is shown.
type referenceReader struct {
	html, text []*node // in their order, pictures among them
	files      []*node // and pictures
	begun      bool
}

func (n *node) isMixed() bool {
	return strings.HasPrefix(n.kind, "multipart/") && n.kind != "multipart/alternative" && n.kind != "multipart/related"
}

// walk shows a part to those who read HTML, text, or both; sure: it is a body whatever its name.
func (r *referenceReader) walk(n *node, asHTML, asText, sure bool) {
	switch {
	case n.isMixed():
		for _, c := range n.children {
			r.walk(c, asHTML, asText, false)
		}
	case n.kind == "multipart/related":
		r.walk(n.children[0], asHTML, asText, true)
		for _, c := range n.children[1:] {
			r.walk(c, false, false, false)
		}
	case n.kind == "multipart/alternative":
		last := n.children[len(n.children)-1]
		for _, c := range n.children {
			r.walk(c, asHTML && c == last, asText && c == n.children[0], true)
		}
	case (asHTML || asText) && r.isBody(n, sure):
		if len(bytes.TrimSpace(n.data)) == 0 {
			return
		}
		r.begun = true
		if asHTML {
			r.html = append(r.html, n)
		}
		if asText {
			r.text = append(r.text, n)
		}
	default:
		if asHTML && n.isPicture() && n.disposition != "attachment" {
			r.html = append(r.html, n)
		}
		r.files = append(r.files, n)
	}
}

func (n *node) isPicture() bool {
	return slices.Contains([]string{"image/png", "image/gif", "image/jpeg"}, n.kind)
}

// isBody: text that does not say that it is a file.
func (r *referenceReader) isBody(n *node, sure bool) bool {
	if n.kind != "text/plain" && n.kind != "text/html" || n.disposition == "attachment" {
		return false
	}
	return n.name == "" || sure || !r.begun && slices.Contains([]string{".txt", ".html"}, path.Ext(n.name))
}

func (r *referenceReader) see() sight {
	var s sight
	referred, documents, texts, last := map[*node]bool{}, 0, 0, -1
	for i, n := range r.html {
		if n.isPicture() {
			continue
		}
		texts, last = texts+1, i
		if n.kind == "text/html" {
			documents++
			words(n.data, func(src string) string {
				if p := r.find(src); p != nil {
					referred[p] = true
				}
				return ""
			})
		}
	}
	composed := documents > 0 && texts > 1
	plain := false
	for i, n := range r.html {
		switch {
		case n.kind == "text/html":
			s.html = append(s.html, words(n.data, func(src string) string { return picture(r.find(src)) })...)
		case !n.isPicture():
			s.html = append(s.html, strings.Fields(string(n.data))...)
		case !referred[n] && (i < last || composed && n.disposition == "inline"):
			composed = true
			s.html = append(s.html, picture(n))
		}
	}
	if documents == 0 && !composed {
		s.html = nil
	}
	for _, n := range r.text {
		if n.kind == "text/html" {
			s.text = append(s.text, words(n.data, func(string) string { return "" })...)
			continue
		}
		plain = true
		s.text = append(s.text, strings.Fields(string(n.data))...)
	}
	if !plain {
		s.text = nil
	}
	for _, n := range r.files {
		s.files = append(s.files, n.name+" "+string(n.data))
	}
	slices.Sort(s.files)
	return s
}

func picture(n *node) string {
	if n == nil {
		return "a broken picture"
	}
	return "picture " + string(n.data)
}

// find returns what a URL in the HTML shows.
func (r *referenceReader) find(src string) *node {
	for _, n := range r.files {
		u, _ := url.Parse(n.location)
		if n.id != "" && src == "cid:"+n.id || n.location != "" && (src == n.location || strings.HasSuffix(u.Path, "/news/"+src)) {
			return n
		}
	}
	return nil
}

// words are those of an HTML document that is read as browsers do, and its pictures.
func words(document []byte, show func(src string) string) []string {
	root, err := html.Parse(bytes.NewReader(document))
	if err != nil {
		return []string{err.Error()}
	}
	var all []string
	for n := range root.Descendants() {
		switch {
		case n.Type == html.TextNode && !slices.Contains([]string{"style", "title", "script"}, n.Parent.Data):
			all = append(all, strings.Fields(n.Data)...)
		case n.Type == html.ElementNode && n.Data == "img":
			for _, a := range n.Attr {
				if a.Key == "src" {
					if p := show(a.Val); p != "" {
						all = append(all, p)
					}
				}
			}
		}
	}
	return all
}

// readRequest reads what a provider makes of a request.
func readRequest(t *testing.T, m upstreamtest.Message) sight {
	t.Helper()
	var s sight
	if m.HTML != "" {
		s.html = words([]byte(m.HTML), func(src string) string {
			for _, a := range m.Attachments {
				if a.Inline && src == "cid:"+a.ContentID {
					return "picture " + string(a.Data)
				}
			}
			return "a broken picture: " + src
		})
	}
	if text := strings.Fields(m.Text); len(text) > 0 {
		s.text = text
	}
	for _, a := range m.Attachments {
		s.files = append(s.files, a.Name+" "+string(a.Data))
	}
	slices.Sort(s.files)
	return s
}

// compareViews lets files that have no name get one.
func compareViews(t *testing.T, name string, original, request sight) {
	t.Helper()
	for _, b := range []struct {
		what      string
		want, got []string
	}{{"HTML", original.html, request.html}, {"text", original.text, request.text}} {
		if diff := cmp.Diff(b.want, b.got); diff != "" {
			t.Errorf("%s: another %s (-original +request):\n%.2000s", name, b.what, diff)
		}
	}
	if len(original.files) != len(request.files) {
		t.Errorf("%s: %d files became %d: %.500q, %.500q", name, len(original.files), len(request.files), original.files, request.files)
		return
	}
	for _, f := range original.files {
		if !slices.ContainsFunc(request.files, func(g string) bool {
			return g == f || strings.HasPrefix(f, " ") && strings.HasSuffix(g, f)
		}) {
			t.Errorf("%s: the file %q is not among %.500q", name, f, request.files)
		}
	}
}

package gateway

import (
	"slices"
	"strings"
	"testing"

	"mailhatch/upstream/upstreamtest"
)

// TestReadersSeeTheWholeLetter: what programs write as several parts of a multipart/mixed arrives as one body, from the
// socket to the request, and again with the same bytes after a failure.
func TestReadersSeeTheWholeLetter(t *testing.T) {
	const (
		head    = "From: x@example.com\nTo: a@example.org\nSubject: letter\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
		text    = "--b\nContent-Type: text/plain; charset=utf-8\n\nDear reader, 1 < 2,\n"
		html    = "--b\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n<html><body><h1>Gr=C3=BC=C3=9Fe</h1></body></html>\n"
		file    = "--b\nContent-Type: application/pdf; name=a.pdf\nContent-Disposition: attachment; filename=a.pdf\n\nPDF\n"
		picture = "--b\nContent-Type: image/png; name=a.png\nContent-Disposition: inline; filename=a.png\n\nPNG\n"
	)
	for _, tt := range []struct {
		name, parts string
		text, html  []string // in this order
		file        string
	}{
		{"Email::Stuffer", text + html + file, []string{"Dear reader, 1 < 2,", "Grüße"}, []string{"Dear reader, 1 &lt; 2,", "<h1>Grüße</h1>"}, "a.pdf"},
		{"Apple Mail", text + picture + html, []string{"Dear reader, 1 < 2,", "Grüße"},
			[]string{"Dear reader, 1 &lt; 2,", `<img src="cid:picture-1@mailhatch"`, "<h1>Grüße</h1>"}, "a.png"},
	} {
		for _, kind := range faultKinds[:2] { // those that take texts and files
			t.Run(tt.name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				fake := kind.fake()
				t.Cleanup(fake.Close)
				h := newHouse(t, kind.config(fake.URL, "right", ""))
				fake.Script(upstreamtest.Fault{Status: 503})
				h.mustSend("x@example.com", []string{"a@example.org"}, head+tt.parts+"--b--\n")
				h.sentRecord("a@example.org")
				got := fake.Accepted()[0]
				if !inOrder(got.Text, tt.text) || !inOrder(got.HTML, tt.html) {
					t.Errorf("text %q, HTML %q", got.Text, got.HTML)
				}
				if names := fileNames(got); !slices.Equal(names, []string{tt.file}) {
					t.Errorf("files %q", names)
				}
			})
		}
	}
}

func inOrder(s string, words []string) bool {
	for _, w := range words {
		_, rest, found := strings.Cut(s, w)
		if !found {
			return false
		}
		s = rest
	}
	return true
}

func fileNames(m upstreamtest.Message) []string {
	var names []string
	for _, a := range m.Attachments {
		names = append(names, a.Name)
	}
	return names
}

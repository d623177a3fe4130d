package view

import (
	"strings"
	"testing"

	"mailhatch/mime"
)

// TestLargeTextsStayApart: beyond Together the first text is the body as it is, and the rest are files.
func TestLargeTextsStayApart(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 1022)+"\n", Together>>10+1) // with CRLF, more than Together bytes
	text, html := "Content-Type: text/plain\n\n", "Content-Type: text/html\n\n"
	picture := "Content-Type: image/png\nContent-Location: a.png\n\nPNG\n"
	mixed := func(parts ...string) string {
		return "Content-Type: multipart/mixed; boundary=b\n\n--b\n" + strings.Join(parts, "--b\n") + "--b--\n"
	}
	for _, tt := range []struct {
		name, raw  string
		text, html bool // there is one
		files      int
		inline     bool
	}{
		{"text, HTML", mixed(text+"Hello\n", html+long), true, false, 1, false},
		{"HTML, text", mixed(html+long, text+"Hello\n"), false, true, 1, false},
		{"text, text", mixed(text+long, text+"Hello\n"), true, false, 1, false},
		{"blank text, HTML", mixed(text+" \n", html+long), true, true, 0, false},
		{"alternative", strings.Replace(mixed(text+long, html+long), "mixed", "alternative", 1), true, true, 0, false},
		{"the last too much", mixed(text+"Hello\n", html+"<p>Hi\n", text+long), true, true, 1, false},
		{"below", mixed(text+"Hello\n", html+long[len(long)/2:]), true, true, 0, false},
		{"picture before HTML", mixed(picture, html+long), false, true, 1, false},
		{"picture before text", mixed(picture, text+long), true, false, 1, false},
		{"located picture", mixed(html+"<img src=a.png>"+long, picture), false, true, 1, false},
		{"picture by its id", mixed(html+"<img src=cid:a>"+long, "Content-ID: <a>\n"+picture), false, true, 1, true},
		{"enriched", mixed("Content-Type: text/enriched\n\n<bold>" + long), true, false, 1, false},
	} {
		c := contentOf(t, tt.raw, mime.TextInMemory)
		if c.Text != nil != tt.text || c.HTML != nil != tt.html || len(c.Attachments) != tt.files || tt.files > 0 && c.Attachments[0].Inline != tt.inline {
			t.Errorf("%s: text %v, HTML %v, %d files %+v", tt.name, c.Text != nil, c.HTML != nil, len(c.Attachments), c.Attachments)
		}
		for _, b := range []*Body{c.Text, c.HTML} {
			if b != nil && len(b.Parts) == 1 && b.Parts[0].RawSize() >= Together && textOf(t, b) != textOfPart(t, b.Parts[0]) {
				t.Errorf("%s: the body is not the part as it is", tt.name)
			}
		}
	}
}

func textOfPart(t *testing.T, p *mime.Part) string {
	t.Helper()
	text, _, err := p.Text(0)
	if err != nil {
		t.Fatal(err)
	}
	return bodyText(t, bodyOf(p, text))
}

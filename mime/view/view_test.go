package view

import (
	"io"
	"strings"
	"testing"

	"mailhatch/mime"
)

// contentOf reads a message whose line ends are LF here.
func contentOf(t *testing.T, raw string, limit int64) *Content {
	t.Helper()
	m, err := mime.Parse(mime.NewBytesSource([]byte(strings.ReplaceAll(raw, "\n", "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	c, err := within(m, limit)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func textOf(t *testing.T, b *Body) string {
	t.Helper()
	if b == nil {
		return "none"
	}
	return bodyText(t, b)
}

// TestPicturesThatTheHTMLShows: by whatever it names them.
func TestPicturesThatTheHTMLShows(t *testing.T) {
	for _, tt := range []struct{ name, fields, html, id, want string }{
		{"content id", "Content-ID: <a@x>", `<img src="cid:a@x">`, "a@x", ""},
		{"an attachment", "Content-ID: <a@x>\nContent-Disposition: attachment; filename=a.png", `<img src="cid:a@x">`, "a@x", ""},
		{"encoded word", "Content-ID: =?us-ascii?Q?<a-very-long-content-id-of-the-picture?=\n =?us-ascii?Q?-in-the-letter@x.example>?=",
			`<img src="cid:a-very-long-content-id-of-the-picture-in-the-letter@x.example">`, "a-very-long-content-id-of-the-picture-in-the-letter@x.example", ""},
		{"encoded word in brackets", "Content-ID: <=?utf-8?Q?a=40x?=>", `<img src="cid:a@x">`, "a@x", ""},
		{"another case", "Content-ID: <a@x>\nContent-Disposition: attachment", `<img src="CID:a@x">`, "a@x", ""},
		{"in a style", "Content-ID: <a@x>\nContent-Disposition: attachment", `<td style="background: url(&quot;cid:a@x&quot;)">`, "a@x", ""},
		{"in numbers", "Content-ID: <foo@x>\nContent-Disposition: attachment", `<img src="cid:&#102;o&#x6f;&commat;x">`, "foo@x", ""},
		{"all in numbers", "Content-ID: <foo@x>\nContent-Disposition: attachment", `<img src="&#99;id:foo%40x">`, "foo@x", ""},
		{"location", "Content-Location: logo.png", `<p>a<IMG alt="b" src="logo.png">`, "picture-1@mailhatch", `<p>a<img alt="b" src="cid:picture-1@mailhatch">`},
		{"location of an attachment", "Content-Location: logo.png\nContent-Disposition: attachment", `<img src=logo.png>`, "picture-1@mailhatch", `<img src="cid:picture-1@mailhatch">`},
		{"location beside an id", "Content-ID: <a@x>\nContent-Location: logo.png", `<img src="./logo.png">`, "a@x", `<img src="cid:a@x">`},
		{"location in full", "Content-Location: http://x.example/news/logo.png", `<img src="http://x.example/news/logo.png">`, "picture-1@mailhatch", `<img src="cid:picture-1@mailhatch">`},
		{"location, one relative", "Content-Location: http://x.example/news/logo.png", `<img src="logo.png">`, "picture-1@mailhatch", `<img src="cid:picture-1@mailhatch">`},
		{"location, the other relative", "Content-Location: logo.png", `<img src="http://x.example/news/logo.png">`, "picture-1@mailhatch", `<img src="cid:picture-1@mailhatch">`},
		{"location by the base of the HTML", "Content-Location: http://y.example/dir/logo.png", `<base href="http://y.example/dir/"><img src="logo.png">`, "picture-1@mailhatch", `<base href="http://y.example/dir/"><img src="cid:picture-1@mailhatch">`},
		{"folded location", "Content-Location: http://x.example/\n news/logo.png", `<img src="logo.png">`, "picture-1@mailhatch", `<img src="cid:picture-1@mailhatch">`},
		{"encoded location", "Content-Location: =?utf-8?Q?l=C3=B6go.png?=", `<img src="l&ouml;go.png">`, "picture-1@mailhatch", `<img src="cid:picture-1@mailhatch">`},
		{"location in styles", "Content-Location: logo.png", `<style>p{background:URL( 'logo.png' )}</style><p style="x: url(&quot;logo.png&quot;)"><td background=logo.png>`, "picture-1@mailhatch",
			`<style>p{background:URL(cid:picture-1@mailhatch)}</style><p style="x: url(cid:picture-1@mailhatch)"><td background="cid:picture-1@mailhatch">`},
		{"location with a space", "Content-Location: my logo.png", `<img src="my logo.png"><img src="my%20logo.png">`, "picture-1@mailhatch", `<img src="cid:picture-1@mailhatch"><img src="cid:picture-1@mailhatch">`},
		{"location that is no URL", `Content-Location: file:///C:\%temp%\logo.png`, `<img src="file:///C:\%temp%\logo.png">`, "picture-1@mailhatch", `<img src="cid:picture-1@mailhatch">`},
		{"id that no URL holds", "Content-ID: <a b@x>\nContent-Location: logo.png", `<img src="logo.png">`, "picture-1@mailhatch", `<img src="cid:picture-1@mailhatch">`},
		{"id that is not shown", "Content-ID: <a@x>\nContent-Disposition: attachment", `<img src="cid:b@x">`, "", ""},
		{"location that is not shown", "Content-Location: logo.png", `<img src="other.png">`, "", ""},
	} {
		for _, limit := range []int64{0, mime.TextInMemory} {
			c := contentOf(t, "Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\nContent-Location: http://x.example/news/\n\n"+
				tt.html+"\n--b\nContent-Type: image/png\n"+tt.fields+"\n\nPNG\n--b--\n", limit)
			want := tt.want
			if want == "" {
				want = tt.html
			}
			if got := textOf(t, c.HTML); got != want {
				t.Errorf("%s: %s", tt.name, got)
			}
			a := c.Attachments[0]
			if len(c.Attachments) != 1 || a.Inline != (tt.id != "") || a.Inline && a.ContentID != tt.id {
				t.Errorf("%s: %+v", tt.name, c.Attachments)
			}
		}
	}
}

// TestBodiesOfOneMessage: what is in the text, what in the HTML, and what is a file.
func TestBodiesOfOneMessage(t *testing.T) {
	const (
		text, html    = "--b\nContent-Type: text/plain\n\nOne & <two>\n", "--b\nContent-Type: text/html\n\n<p>Three</p>\n"
		named, picked = "--b\nContent-Type: text/html; name=body.html\n\n<p>Letter</p>\n", "--b\nContent-Type: image/png; name=a.png\n\nPNG\n"
		file          = "--b\nContent-Type: text/x-diff\nContent-Disposition: inline; filename=a.patch\n\n+x\n"
		enriched      = "--b\nContent-Type: text/enriched\n\n<bold>Four</bold> <<five\n\n\nsix\n"
	)
	pre := func(s string) string { return "<pre style=\"white-space: pre-wrap\">\r\n" + s + "</pre>\r\n" }
	page := func(s string) string { return "<html>\r\n<head></head>\r\n<body>\r\n" + s + "</body></html>\r\n" }
	for _, tt := range []struct{ name, parts, text, html, files string }{
		{"text, HTML, file", text + html + file, "One & <two>\r\n\r\nThree\r\n", page(pre("One &amp; &lt;two&gt;") + "<div><p>Three</p></div>\r\n"), "a.patch"},
		{"named HTML, the only text", named + file, "none", "<p>Letter</p>", "a.patch"},
		{"named HTML behind a file", file + named, "none", "<p>Letter</p>", "a.patch"},
		{"named HTML beside a text", text + named, "One & <two>", "none", "body.html"},
		{"text, picture, text", text + picked + text, "One & <two>\r\n\r\nOne & <two>",
			"<!DOCTYPE html>" + page(pre("One &amp; &lt;two&gt;")+"<div><img src=\"cid:picture-1@mailhatch\" alt=\"a.png\" style=\"max-width: 100%\"></div>\r\n"+pre("One &amp; &lt;two&gt;")), "a.png inline"},
		{"text, picture", text + picked, "One & <two>", "none", "a.png"},
		{"enriched", enriched, "Four <five\r\n\r\nsix", "none", "text.txt"},
		{"enriched and HTML", enriched + html, "Four <five\r\n\r\nsix\r\n\r\nThree\r\n", page(pre("Four &lt;five\r\n\r\nsix") + "<div><p>Three</p></div>\r\n"), "text.txt"},
		{"rich text", "--b\nContent-Type: text/richtext\n\n<Bold>Four</Bold><comment>no</comment><nl><lt>five\nsix\n", "Four\r\n<five six", "none", "text.txt"},
		{"markdown", "--b\nContent-Type: text/markdown\n\n# One\n" + html, "# One\r\n\r\nThree\r\n", page(pre("# One") + "<div><p>Three</p></div>\r\n"), ""},
		{"a patch alone", file, "none", "none", "a.patch"},
		{"blank texts", "--b\n\n \n" + html + "--b\n\n\n", " ", "<p>Three</p>", ""},
		{"blank HTML", "--b\nContent-Type: text/html\n\n \n" + text, "One & <two>", "none", ""},
		{"blank HTML alone", "--b\nContent-Type: text/html\n\n \n", "none", " ", ""},
	} {
		for _, limit := range []int64{0, mime.TextInMemory} {
			c := contentOf(t, "Content-Type: multipart/mixed; boundary=b\n\n"+tt.parts+"--b--\n", limit)
			if got := textOf(t, c.Text); got != tt.text {
				t.Errorf("%s: text %q", tt.name, got)
			}
			if got := textOf(t, c.HTML); got != tt.html {
				t.Errorf("%s: HTML %q", tt.name, got)
			}
			var files []string
			for _, a := range c.Attachments {
				if files = append(files, a.Name); a.Inline {
					files = append(files, "inline")
				}
			}
			if got := strings.Join(files, " "); got != tt.files {
				t.Errorf("%s: files %s", tt.name, got)
			}
		}
	}
}

// TestAMPOfOnePart is shown in place of the whole body, which it is not.
func TestAMPOfOnePart(t *testing.T) {
	const letter = "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\ntext\n--c\nContent-Type: text/x-amp-html\n\namp\n" +
		"--c\nContent-Type: text/calendar\n\ncal\n--c\nContent-Type: text/html\n\nhtml\n--c--\n"
	for parts, want := range map[string]int{letter: 2, letter + "--b\n\n \n": 2, letter + "--b\n\nfooter\n": 1} {
		c := contentOf(t, "Content-Type: multipart/mixed; boundary=b\n\n"+parts+"--b--\n", mime.TextInMemory)
		if len(c.Alternatives) != want || len(c.Attachments) != 2-want {
			t.Errorf("%d alternatives, files %+v", len(c.Alternatives), c.Attachments)
		}
	}
}

// TestRootsOfRelated: what the others belong to.
func TestRootsOfRelated(t *testing.T) {
	const picture, html, other = "--b\nContent-Type: image/png\nContent-ID: <p@x>\n\nPNG\n", "--b\nContent-Type: text/html\nContent-ID: <h@x>\n\n<img src=cid:p@x>\n",
		"--b\nContent-Type: text/html\nContent-ID: <o@x>\n\nother\n"
	for _, tt := range []struct{ start, parts, want string }{
		{"", html + picture, "<img src=cid:p@x>"},
		{"", picture + html, "<img src=cid:p@x>"},
		{"", other + html + picture, "other"},
		{"; start=\"<h@x>\"", other + html + picture, "<img src=cid:p@x>"},
		{"; start=\"<p@x>\"", html + picture, "none"},
		{"", picture, "none"},
	} {
		c := contentOf(t, "Content-Type: multipart/related; boundary=b"+tt.start+"\n\n"+tt.parts+"--b--\n", mime.TextInMemory)
		if got := textOf(t, c.HTML); got != tt.want {
			t.Errorf("%s of %q: %q", tt.start, tt.parts, got)
		}
	}
}

// TestMadeContentIDs: they are no other's.
func TestMadeContentIDs(t *testing.T) {
	const picture = "--b\nContent-Type: image/png\n\nPNG\n"
	c := contentOf(t, "Content-Type: multipart/mixed; boundary=b\n\n"+picture+
		"--b\nContent-Type: application/pdf\nContent-ID: <picture-1@mailhatch>\n\nPDF\n--b\nContent-Type: image/png\nContent-ID: <same@x>\n\nPNG\n"+
		"--b\nContent-Type: image/png\nContent-ID: <same@x>\n\nPNG\n--b\n\ntext\n--b--\n", mime.TextInMemory)
	ids := map[string]bool{}
	for _, a := range c.Attachments {
		if a.ContentID == "" || ids[a.ContentID] {
			t.Errorf("%+v", c.Attachments)
		}
		ids[a.ContentID] = true
		if html := textOf(t, c.HTML); a.Part.Type == "image/png" && !strings.Contains(html, `"cid:`+a.ContentID+`"`) {
			t.Errorf("%s is not in %s", a.ContentID, html)
		}
	}
}

// failing breaks after some reads.
type failing struct {
	mime.Source
	left *int
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if *f.left--; *f.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return f.Source.ReadAt(p, off)
}

// TestReadErrors breaks the disk after each number of reads: the error is told, no body is cut short.
func TestReadErrors(t *testing.T) {
	long := strings.Repeat("A line of text.\r\n", 10)
	raw := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + long + "\r\n--b\r\nContent-Type: text/html\r\n\r\n<p><img src=a>" + long +
		"\r\n--b\r\nContent-Type: text/enriched\r\n\r\n" + long + "\r\n--b\r\nContent-ID: <x>\r\nContent-Location: a\r\nContent-Type: image/png\r\n\r\nx\r\n--b\r\n\r\nend\r\n--b--\r\n"
	left := 1 << 20
	m, err := mime.Parse(failing{mime.NewBytesSource([]byte(raw)), &left})
	if err != nil {
		t.Fatal(err)
	}
	read := func() (string, error) {
		c, err := within(m, 0)
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(c.Text.Open())
		if err != nil {
			return "", err
		}
		html, err := io.ReadAll(c.HTML.Open())
		if err != nil {
			return "", err
		}
		_, err = c.HTML.Shows([]string{"no such"})
		return string(text) + string(html), err
	}
	want, err := read()
	if err != nil || !strings.Contains(want, `<img src="cid:x">`) {
		t.Fatal(want, err)
	}
	for n := 0; ; n++ {
		left = n
		got, err := read()
		if err == nil && got == want && n > 10 {
			break
		}
		if err != io.ErrClosedPipe {
			t.Fatalf("after %d reads: %q, %v", n, got, err)
		}
	}
}

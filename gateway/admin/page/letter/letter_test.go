package letter

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"mailhatch/mime"
)

func read(t *testing.T, lines ...string) *Letter {
	t.Helper()
	l, err := Read(mime.NewBytesSource([]byte(strings.Join(lines, "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// document returns the HTML of a letter without what WriteHTML puts before it.
func document(t *testing.T, l *Letter, remote bool) (string, int) {
	t.Helper()
	var b bytes.Buffer
	n, err := l.WriteHTML(&b, remote)
	if err != nil {
		t.Fatal(err)
	}
	doc, ok := strings.CutPrefix(b.String(), head)
	if !ok {
		t.Fatalf("no head: %s", b.String())
	}
	return strings.TrimSpace(doc), n
}

// TestHTML: what could run or be fetched is not in the HTML that a browser gets; the rest is.
func TestHTML(t *testing.T) {
	const rel = ` rel="noopener noreferrer" target="_blank"`
	for in, want := range map[string]struct {
		out     string
		fetches int
	}{
		`<p class="a">Hello &amp; good</p>`:                                {`<p class="a">Hello &amp; good</p>`, 0},
		`<script>alert(1)</script>x`:                                       {`x`, 0},
		`<SCRIPT SRC=http://h/a.js></SCRIPT>x`:                             {`x`, 1},
		`<script>a</scrip</script >x`:                                      {`x`, 0},
		`<img src="http://h/a.png" alt="a">`:                               {`<img alt="a">`, 1},
		`<img src="//h/a.png"><img src=data:image/png;base64,AA>`:          {`<img><img src="data:image/png;base64,AA">`, 1},
		`<img src=x onerror=alert(1)>`:                                     {`<img>`, 0},
		`<img/src=https://h/b/onload=a>`:                                   {`<img>`, 1},
		`<img srcset="http://h/a 1x">`:                                     {`<img>`, 1},
		`<body background=http://h/b onload=x()>x`:                         {`<body>x`, 1},
		`<a href="https://h/p?a=1&amp;b=2">go</a>`:                         {`<a href="https://h/p?a=1&amp;b=2"` + rel + `>go</a>`, 0},
		`<a href="javascript:alert(1)" target=_top>go</a>`:                 {`<a` + rel + `>go</a>`, 0},
		`<a href=" java&#10;script:alert(1)">go</a>`:                       {`<a` + rel + `>go</a>`, 0},
		`<a href="mailto:a@b" ping=http://h>go</a>`:                        {`<a href="mailto:a@b"` + rel + `>go</a>`, 0},
		`<a href="#top">up</a>`:                                            {`<a href="#top"` + rel + `>up</a>`, 0},
		`<iframe src=http://h/></iframe>x<iframe srcdoc="<b>">y</iframe>z`: {`xz`, 1},
		`<object data=http://h/x><b>in</b></object>x`:                      {`x`, 1},
		`<embed src=http://h/x>x`:                                          {`x`, 1},
		`<meta http-equiv=refresh content="0;url=http://h/">x`:             {`x`, 0},
		`<link rel=stylesheet href=http://h/a.css>x`:                       {`x`, 1},
		`<base href=http://h/>x`:                                           {`x`, 0},
		`<form action=http://h/ method=post><input name=a></form>`:         {`<form method="post"><input name="a"></form>`, 0},
		`<button formaction=http://h/>b</button>`:                          {`<button>b</button>`, 0},
		`<p style="background:url(http://h/a.png);color:red">x</p>`:        {`<p style="background:none;color:red">x</p>`, 1},
		`<style>@import "http://h/a.css"; b{color:red}</style>x`:           {`<style>none b{color:red}</style>x`, 1},
		`<style>b{background:URL( 'http://h/a' )}</style>x`:                {`<style>b{background:none}</style>x`, 1},
		`<p style="background:url(data:image/gif;base64,AA)">x</p>`:        {`<p style="background:url(data:image/gif;base64,AA)">x</p>`, 0},
		`<svg><image xlink:href="http://h/a"/><use href="//h/x#a"/></svg>`: {`<svg><image/><use/></svg>`, 2},
		`<svg><image href="http://h/a"/><image x:HREF=//h/b /></svg>`:      {`<svg><image/><image/></svg>`, 2},
		`<svg><feImage href="http://h/a"/><use xlink:href="#a"/></svg>`:    {`<svg><feimage/><use xlink:href="#a"/></svg>`, 1},
		`<svg><image href="data:image/png;base64,AA"/></svg>`:              {`<svg><image href="data:image/png;base64,AA"/></svg>`, 0},
		`<svg><a xlink:href="javascript:x"><set attributeName=href to=http://h/></set>y</a><animate attributeName=href values=http://h/ /></svg>z`: {
			`<svg><a` + rel + `>y</a></svg>z`, 0},
		`<svg><rect fill="url(http://h/a#b)" filter='url("#own")' mask="URL( //h/c )"/></svg>`: {`<svg><rect fill="none" filter="url(&#34;#own&#34;)" mask="none"/></svg>`, 2},
		`<p style="background:u\72 l(http://h/a);color:red">x</p>`:                             {`<p style="background:none;color:red">x</p>`, 1},
		`<p style="background:image-set('http://h/a' 1x)">x</p>`:                               {`<p style="background:none">x</p>`, 1},
		`<style>p::before{content:"\201C \3c/style>"}</style>`:                                 {`<style>p::before{content:"\201C \3c/style>"}</style>`, 0},
		`<img alt="C:\gifs (old)">`:                                                            {`<img alt="C:\gifs (old)">`, 0},
		`<!-- c --><!doctype html>x`:                                                           {`x`, 0},
		`<video src=http://h/v poster=http://h/p></video>x`:                                    {`x`, 1},
		`<template><img src=http://h/x></template>x`:                                           {`x`, 0},
		`<noscript><img src=http://h/x></noscript>x`:                                           {`x`, 0},
	} {
		l := read(t, "Content-Type: text/html", "", in)
		if got, n := document(t, l, false); got != want.out || n != want.fetches {
			t.Errorf("%s\n is %s and fetches %d,\n want %s and %d", in, got, n, want.out, want.fetches)
		}
	}
	l := read(t, "Content-Type: text/html", "", `<img src="http://h/a"><p style="background:url(http://h/b)"><script src=http://h/c></script>`)
	if got, n := document(t, l, true); got != `<img src="http://h/a"><p style="background:url(http://h/b)">` || n != 3 {
		t.Errorf("with remote pictures it is %s, %d", got, n)
	}
	if p := Policy(false); strings.Contains(p, "http") || strings.Contains(p, "allow-scripts") || strings.Contains(p, "allow-same-origin") {
		t.Error(p)
	}
	if p := Policy(true); !strings.Contains(p, "img-src data: https: http:;") {
		t.Error(p)
	}
}

// TestPictures: the message's own pictures are in its HTML, whatever their ids are, and as large as they may be.
func TestPictures(t *testing.T) {
	message := func(body string, picture string) *Letter {
		return read(t, "Content-Type: multipart/related; boundary=b", "", "--b", "Content-Type: text/html", "", body, "--b",
			"Content-Type: image/png", "Content-ID: <a%b@c>", "Content-Transfer-Encoding: 8bit", "", picture, "--b",
			"Content-Type: text/html", "Content-ID: <page>", "Content-Disposition: attachment; filename=p.html", "", "<b>", "--b--")
	}
	l := message(`<img src="cid:a%25b@c"><p style="background:url(CID:a%b@c)"><img src="CID:gone"><img src="cid:page">`, "PNG")
	if got, n := document(t, l, false); n != 0 ||
		got != `<img src="data:image/png;base64,UE5H"><p style="background:url(data:image/png;base64,UE5H)"><img><img>` {
		t.Errorf("%d: %s", n, got)
	}
	files, err := l.Files()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 || !files[0].Shown || files[0].Size != 3 || files[1].Name != "p.html" {
		t.Errorf("files %+v", files)
	}
	large := message(`<img src="cid:a%25b@c"><img src="cid:a%25b@c">`, strings.Repeat("x", maxPictures*2/3))
	if got, _ := document(t, large, false); strings.Count(got, "data:") != 1 {
		t.Errorf("%d pictures, %d bytes", strings.Count(got, "data:"), len(got))
	}
}

func TestLetter(t *testing.T) {
	l := read(t, "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: multipart/alternative; boundary=c", "",
		"--c", "", "Hello", "you", "--c", "Content-Type: text/calendar", "", "BEGIN:VCALENDAR", "--c--",
		"--b", "Content-Type: application/pdf; name=a.pdf", "Content-Transfer-Encoding: base64", "", "QUJD", "--b--")
	text, more, err := l.Text()
	if err != nil || more || strings.TrimSpace(text) != "Hello\nyou" || !l.HasText() || l.HasHTML() {
		t.Errorf("text %q, more %v, %v", text, more, err)
	}
	files, err := l.Files()
	if err != nil || len(files) != 2 {
		t.Fatalf("files %+v, %v", files, err)
	}
	if text, _, _ := Start(files[0].Open()); files[0].Name != "a.pdf" || text != "ABC" || files[1].Name != "alternative.ics" {
		t.Errorf("files %+v: %q", files, text)
	}
	if h := Header(l.Message.HeaderBytes()); h[0] != (Field{"Subject", "Grüße"}) {
		t.Errorf("header %q", h)
	}
	if d := cmp.Diff([]string{"multipart/mixed", "  multipart/alternative", "    text/plain", "    text/calendar", "  application/pdf a.pdf"}, l.Structure()); d != "" {
		t.Error(d)
	}
	if got, n := document(t, l, false); got != "" || n != 0 {
		t.Errorf("without HTML there is %q", got)
	}
	if text, _, err := read(t, "Content-Type: text/html", "", "<b>").Text(); text != "" || err != nil {
		t.Errorf("without text there is %q, %v", text, err)
	}
}

// TestStart: what is cut is cut between characters.
func TestStart(t *testing.T) {
	for _, tail := range []string{"", "ü", "€", "\U0001F600", "\xff\xff"} {
		for n := range 5 {
			in := strings.Repeat("a", MaxText-n) + strings.Repeat(tail, 2)
			text, more, err := Start(strings.NewReader(in))
			if err != nil || more != (len(in) > MaxText) || !utf8.ValidString(text) || utf8.ValidString(tail) && strings.Contains(text, "\uFFFD") {
				t.Errorf("%q after %d bytes: %d bytes, more %v, %v", tail, MaxText-n, len(text), more, err)
			}
		}
	}
}

func TestLinks(t *testing.T) {
	for in, want := range map[string][]Piece{
		"":                          nil,
		"no link http:// or https:": {{Text: "no link http:// or https:"}},
		"see https://h/a?b=(c).":    {{Text: "see "}, {Text: "https://h/a?b=(c)", URL: "https://h/a?b=(c)"}, {Text: "."}},
		"(http://h/),<https://i>":   {{Text: "("}, {Text: "http://h/", URL: "http://h/"}, {Text: "),<"}, {Text: "https://i", URL: "https://i"}, {Text: ">"}},
		"http:// http://h":          {{Text: "http:// "}, {Text: "http://h", URL: "http://h"}},
		"httphttps://ü":             {{Text: "http"}, {Text: "https://ü", URL: "https://ü"}},
	} {
		if d := cmp.Diff(want, Links(in)); d != "" {
			t.Errorf("%q: %s", in, d)
		}
	}
}

// FuzzHTML: a browser finds nothing in the HTML that runs or is fetched.
func FuzzHTML(f *testing.F) {
	f.Add(`<p><img src="cid:x" onerror=1><a href=javascript:x>`)
	f.Add(`<svg><image href="http://h/a" xlink:href=data:image/png,x /><use href=#a></svg>`)
	f.Add("<style>url(url(</style><script><!--</script>-->")
	f.Fuzz(func(t *testing.T, in string) {
		l := read(t, "Content-Type: text/html; charset=utf-8", "", in)
		got, _ := document(t, l, false)
		root, err := html.Parse(strings.NewReader(got))
		if err != nil {
			return // too deep for this parser
		}
		for n := range root.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if dropped(n.Data) || n.Data == "base" || n.Data == "meta" || n.Data == "link" {
				t.Errorf("%q became %q", in, got)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" && !isPicture(a.Val) || a.Key == "href" && !isLink(a.Val) && !isPicture(a.Val) {
					t.Errorf("%q became %q", in, got)
				}
			}
		}
	})
}

package markup

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/html"
)

// read reads all of what a function makes of a text, by several sizes of reads.
func read(t testing.TB, through func(io.Reader) io.Reader, text string) string {
	t.Helper()
	whole, err := io.ReadAll(through(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, wrap := range []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader} {
		if again, err := io.ReadAll(iotest.HalfReader(through(wrap(strings.NewReader(text))))); err != nil || !bytes.Equal(again, whole) {
			t.Fatalf("read in pieces %.200q is %.200q, %v", whole, again, err)
		}
	}
	return string(whole)
}

func TestDocumentsAreTakenApart(t *testing.T) {
	long := strings.Repeat("x", 3*maxToken)
	for _, tt := range []struct{ name, html, head, contents string }{
		{"fragment", "<p>a<p>b", "", "<p>a<p>b"},
		{"document", "<!DOCTYPE html>\n<html lang=de><head><meta charset=latin1><title>t</title><style>p {}</style></head><body class=c>\n<p>a</body></html>\n",
			"<style>p {}</style>", "\n<p>a\n"},
		{"no tags of a frame", "<title>t</title><style>p {}</style>a", "<style>p {}</style>", "a"},
		{"what a head may hold", "<head><base href=x><meta name=viewport content=y><meta http-equiv=a><link rel=stylesheet href=z><!--[if mso]><xml><![endif]--><script>1</script></head>a",
			"<meta name=viewport content=y><link rel=stylesheet href=z><!--[if mso]><xml><![endif]--><script>1</script>", "a"},
		{"a second frame inside", "<body>a<html><head><title>x</title><base href=y><meta charset=z></head><body>b</body>", "", "ab"},
		{"a style in the body", "<body>a<style>p {}</style>", "", "a<style>p {}</style>"},
		{"open elements", "<div><table><tr><td><b>a", "", "<div><table><tr><td><b>a</b></table></div>"},
		{"end tags without a start", "a</div></b>b</p></td>", "", "ab</p></td>"},
		{"crossed tags", "<b><i>a</b>b</i>", "", "<b><i>a</b>b"},
		{"void and closed", "<br><img src=a/><hr/><span/>a", "", "<br><img src=a/><hr/><span/>a</span>"},
		{"closed in a drawing", "<svg><path/></svg>a", "", "<svg><path/></svg>a"},
		{"an open comment", "a<!-- b", "", "a<!-- b-->"},
		{"an open declaration", "a<!b", "", "a<!b-->"},
		{"an open tag", "a<b c=\"d", "", "a"},
		{"an open style", "<style>p {", "<style>p {</style>", ""},
		{"an open style in the body", "a<style>p {", "", "a<style>p {</style>"},
		{"text without end", "a<plaintext>b<i>&", "", "ab&lt;i&gt;&amp;"},
		{"an open title", "<title>a", "", ""},
		{"a long text", long, "", long},
		{"a long tag", "<p title=\"" + long + "\"><b>a", "", "<p title=\"" + long + "\"><b>a</b>"},
		{"a long tag of an element", "<b title=\"" + long + "\">a", "", "<b title=\"" + long + "\">a</b>"},
		{"a long tag without end", "a<b title=\"" + long, "", "a<b title=\"" + long + "'\"></b>"},
		{"a long comment", "a<!--" + long + "-->b", "", "a<!--" + long + "-->b"},
		{"a long comment with dashes", "a<!--" + long + "- ->->b-->c", "", "a<!--" + long + "- ->->b-->c"},
		{"a long comment without end", "a<!--" + long, "", "a<!--" + long + "-->"},
		{"a long style", "<style>" + long + "</style>a", "<style>" + long + "</style>", "a"},
		{"a long style in the body", "a<style>" + long + "<b></style>b", "", "a<style>" + long + "<b></style>b"},
		{"a long script tag", "a<script src=\"" + long + "\"><b></script>b", "", "a<script src=\"" + long + "\"><b></script>b"},
		{"a long body tag", "<body class=\"" + long + "\">a", "", "a"},
		{"a long end tag", "<b>a</b " + long + ">b", "", "<b>a</b " + long + ">b"},
	} {
		if got := read(t, Head, tt.html); got != tt.head {
			t.Errorf("%s: head %.200q", tt.name, got)
		}
		if got := read(t, Contents, tt.html); got != tt.contents {
			t.Errorf("%s: contents %.200q", tt.name, got)
		}
	}
}

func TestFrames(t *testing.T) {
	for _, tt := range []struct {
		html string
		want Frame
		div  string
	}{
		{"a", Frame{}, "<div>"},
		{"<body bgcolor='000000' text=white>", Frame{Body: "<body bgcolor='000000' text=white>"}, `<div style="background-color: #000000; color: white">`},
		{"<body style='margin: 0' bgcolor=#eee>", Frame{Body: "<body style='margin: 0' bgcolor=#eee>"}, `<div style="background-color: #eee; margin: 0">`},
		{"<body bgcolor='red;x:y' id=i>", Frame{Body: "<body bgcolor='red;x:y' id=i>"}, "<div>"},
		{"<!doctype html><HTML lang=de><body style='color: red' onload=x class=c bgcolor=y><body>", Frame{"<!doctype html>", "<HTML lang=de>", "<body style='color: red' onload=x class=c bgcolor=y>", ""},
			`<div style="background-color: y; color: red" class="c">`},
		{"<html><base target=x><base href=http://a/b/><base href=c><body>", Frame{HTML: "<html>", Body: "<body>", Base: "http://a/b/"}, "<div>"},
		{"<html class=" + strings.Repeat("x", maxFrame) + "><body>", Frame{Body: "<body>"}, "<div>"},
	} {
		got, err := FrameOf(strings.NewReader(tt.html))
		if err != nil || got != tt.want || got.BodyStyle(false) != tt.div {
			t.Errorf("%.60s: %+v, %s, %v", tt.html, got, got.BodyStyle(false), err)
		}
	}
	first := Frame{Body: `<body class="c" id=i style="color: red" onload=x text=blue>`}
	if got := first.BodyTag() + first.BodyStyle(true); got != `<body class="c" id="i"><div style="color: blue; color: red">` {
		t.Error(got)
	}
	if _, err := FrameOf(iotest.ErrReader(io.ErrClosedPipe)); err != io.ErrClosedPipe {
		t.Error(err)
	}
}

func TestEscaped(t *testing.T) {
	long := strings.Repeat("é&<", generatedAtOnce)
	for text, want := range map[string]string{"a\r\n b": "a\r\n b", "<&>\"'": "&lt;&amp;&gt;\"'", long: strings.Repeat("é&amp;&lt;", generatedAtOnce)} {
		if got := read(t, Escaped, text); got != want {
			t.Errorf("%.100q", got)
		}
	}
}

// TestReadErrorsAreTold: they are no end of the text.
func TestReadErrorsAreTold(t *testing.T) {
	for name, through := range map[string]func(io.Reader) io.Reader{"Head": Head, "Contents": Contents, "Escaped": Escaped, "Readable": Readable,
		"Enriched": Enriched, "RichText": RichText, "Referring": func(r io.Reader) io.Reader { return Referring(r, func(string) (string, bool) { return "", false }) }} {
		for _, text := range []string{"", "<style>a", "<style " + strings.Repeat("x", maxToken+5000)} {
			r := through(io.MultiReader(strings.NewReader(text), iotest.ErrReader(io.ErrClosedPipe)))
			if _, err := io.ReadAll(r); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s of %.20q: %v", name, text, err)
			}
		}
	}
}

// FuzzContents: what follows the contents of a document is seen after them.
func FuzzContents(f *testing.F) {
	for _, s := range []string{"<table><b>x", "<!-- a", "<p title='", "<svg><title>", "<select><option>a", "<textarea>", "a</div></table>b", "<plaintext>x", "<math><mi>", "<a><table><a>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read(t, Head, text)
		read(t, Readable, text)
		contents := read(t, Contents, text)
		root, err := html.Parse(strings.NewReader("<html><head></head><body><div>" + contents + "</div><pre>\nthe end</pre></body></html>"))
		if err != nil {
			t.Skip() // too deep for the library
		}
		last := ""
		for n := range root.Descendants() {
			if n.Type == html.TextNode && strings.TrimSpace(n.Data) != "" {
				last = n.Data
			}
		}
		if last != "the end" {
			t.Errorf("after %q stands %q", contents, last)
		}
	})
}

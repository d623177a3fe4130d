package markup

import (
	"io"
	"strings"
	"testing"
)

func TestReadable(t *testing.T) {
	long := strings.Repeat("word ", maxToken/2)
	for html, want := range map[string]string{
		"":                            "",
		"<p> </p>":                    "",
		"Hello":                       "Hello\r\n",
		"<p>One\n two</p><p>three":    "One two\r\n\r\nthree\r\n",
		"a<br>b<br><br>c":             "a\r\nb\r\n\r\nc\r\n",
		"<b>a</b>b <i> c</i>":         "ab c\r\n",
		"&lt;b&gt; gr&uuml;n &#8364;": "<b> grün €\r\n",
		"<head><title>t</title><style>p {}</style></head><body><script>x</script>a<!-- b -->c": "ac\r\n",
		"<table><tr><td>a<td>b<tr><td>c</table>d":                                              "a b\r\nc\r\n\r\nd\r\n",
		"<ul><li>a<li>b<ul><li>c</ul></ul>d":                                                   "- a\r\n- b\r\n  - c\r\nd\r\n",
		"<pre>a\n  b\n\nc</pre>d":                                                              "a\r\n  b\r\n\r\nc\r\nd\r\n",
		"<a href='https://x.example/y'>here</a>, and":                                          "here <https://x.example/y>, and\r\n",
		"<a href='https://x.example/'>x.example</a>":                                           "x.example\r\n",
		"<a href='https://x.example'>https://x.example/</a>":                                   "https://x.example/\r\n",
		"<a href='#top'>up</a> <a name=x>y</a>":                                                "up y\r\n",
		"<a href='HTTP://x.example'><img src=a alt=' A  logo '></a>":                           "[A logo] <HTTP://x.example>\r\n",
		"<a href='http://x.example'><img src=a></a>z":                                          "z\r\n",
		"a<hr>b":                    "a\r\n----\r\nb\r\n",
		"<h1>a</h1>b":               "a\r\n\r\nb\r\n",
		"<textarea>a&amp;b":         "a&b\r\n",
		"<p>" + long:                strings.TrimSpace(long) + "\r\n",
		long + "&am":                long + "&am\r\n",
		"<img alt='" + long + "'>a": "a\r\n",
		strings.Repeat("<br>", 5000) + "a" + strings.Repeat("<br>", 5000) + "b": "a" + strings.Repeat("\r\n", mostLines) + "b\r\n",
	} {
		if got := read(t, Readable, html); got != want {
			t.Errorf("%.80q: %.200q", html, got)
		}
	}
}

func TestEnriched(t *testing.T) {
	for text, want := range map[string]string{
		"":                                         "",
		"a\r\nb\r\n\r\nc\r\n\r\n\r\nd\r\n":         "a b\r\nc\r\n\r\nd\r\n",
		"<bold>a</bold> <<b> c < d":                "a <b> c < d",
		"<color><param>red</param>a</color>":       "a",
		"a\n<nofill>b\nc\n\nd</nofill>\ne":         "a b\r\nc\r\n\r\nd e",
		"<" + strings.Repeat("x", longCommand):     "<" + strings.Repeat("x", longCommand),
		strings.Repeat("é<bold>", generatedAtOnce): strings.Repeat("é", generatedAtOnce),
	} {
		if got := read(t, Enriched, text); got != want {
			t.Errorf("%.60q: %.100q", text, got)
		}
	}
	for text, want := range map[string]string{
		"<Bold>a</Bold>\r\nb<nl>c<lt>d<comment>e\n<nl></comment>f": "a b\r\nc<df",
		"<paragraph>a</paragraph>b":                                "\r\na\r\nb",
	} {
		if got := read(t, RichText, text); got != want {
			t.Errorf("%.60q: %.100q", text, got)
		}
	}
}

func TestReferring(t *testing.T) {
	replace := func(url string) (string, bool) { return "cid:" + url, strings.HasPrefix(url, "a") }
	long := strings.Repeat("x", 2*maxToken)
	for html, want := range map[string]string{
		"<P>b <IMG SRC=b ALT=a> </P x>":              "<P>b <IMG SRC=b ALT=a> </P x>",
		"<p><img src=a /><img src=' a&amp;b '>":      `<p><img src="cid:a"/><img src="cid:a&amp;b">`,
		"<style>x{url(a) URL('a b') url(b)}</style>": "<style>x{url(cid:a) URL(cid:a b) url(b)}</style>",
		"<video poster=a>url(a)<!-- <img src=a> -->": `<video poster="cid:a">url(a)<!-- <img src=a> -->`,
		"<img src=a title='" + long + "'>b<img src":  "<img src=a title='" + long + "'>b<img src",
	} {
		if got := read(t, func(r io.Reader) io.Reader { return Referring(r, replace) }, html); got != want {
			t.Errorf("%.60q: %.200q", html, got)
		}
	}
}

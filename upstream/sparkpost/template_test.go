package sparkpost

import (
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// TestTemplates: what SparkPost would fill in is not carried.
func TestTemplates(t *testing.T) {
	const mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n"
	for _, row := range []struct{ name, message, want string }{
		{"none", "Subject: {s}\r\n\r\na { { b }} c\r\n", ""},
		{"text", "\r\nDear {{name}}\r\n", "the text"},
		{"three", "\r\n{{{name}}}\r\n", "the text"},
		{"base64", "Content-Transfer-Encoding: base64\r\n\r\ne3t9fQ==\r\n", "the text"},
		{"quoted-printable", "Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=7B=7Bx}}\r\n", "the text"},
		{"across the pieces", "\r\n" + strings.Repeat("x", 32<<10-1) + "{{x}}\r\n", "the text"},
		{"file", mixed + "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\n{{\r\n--b--\r\n", ""},
		{"other file", mixed + "Content-Type: application/json\r\n\r\n{{}}\r\n--b--\r\n", ""},
		{"second text", mixed + "Content-Type: text/html\r\n\r\n<p>{{x}}\r\n--b--\r\n", "the text"},
		{"subject", "Subject: {{s}}\r\n\r\n", "the field Subject"},
		{"encoded subject", "Subject: =?utf-8?q?=7B=7Bs}}?=\r\n\r\n", "the field Subject"},
		{"folded", "X-A: {\r\n {\r\n\r\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := upstreamtest.ParseMessage(t, "From: a@example.com\r\n"+row.message)
			e := checkHeader(m.Header)
			if e == nil {
				e = checkTexts(m)
			}
			if row.want == "" && e != nil || row.want != "" && (e == nil || e.Class != upstream.Unrepresentable || !strings.HasPrefix(e.Err.Error(), row.want+" has {{")) {
				t.Errorf("%v, want %q", e, row.want)
			}
		})
	}
}

func TestFinder(t *testing.T) {
	for _, pieces := range [][]string{{"{", "{"}, {"a{", "", "{b"}, {"{{"}, {"{", "a", "{{", "x"}} {
		var f finder
		for _, p := range pieces {
			if n, err := f.Write([]byte(p)); n != len(p) || err != nil {
				t.Error(n, err)
			}
		}
		if !f.yes {
			t.Errorf("%q", pieces)
		}
	}
	var f finder
	for _, p := range []string{"{", "}", "{", "a{"} {
		_, _ = f.Write([]byte(p))
	}
	if f.yes {
		t.Error("there is none")
	}
}

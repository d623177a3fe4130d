package charset

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// pieces are what makes charsets hard: bits of all of them, cut, mixed and mislabelled.
var pieces = []string{
	"Hello, world ", "\r\n", " ", "\t", "", "é", "日本", "😀", "\u2028", "\u00a0", "\u0085", "\ufeff", "\ufffd", "\xe9", "\xff\xfe", "\xfe\xff", "\x00",
	"\x1b$B", "\x1b$B$\"\x1b(B", "\x1b$@", "\x1b(B", "\x1b$", "\x1b$)C", "\x0e0!\x0f", "\x0e", "\x0f", "\x1b", "\x7f", "\x01",
	"+AOk-", "+AOk", "+-", "+", "-", "+2D3eAA-", "+2D0-", "+A-", "+//0-", "\xd8\x00", "\x00\xd8", "\x81\x30\x81\x30", "\x81", "\xa4\xa2", "\x82\xa0", "\xb0\xa1",
	"<meta charset=windows-1251>", "cid:a@b", "\xe2\x82", "\xf0\x9f", "A", "=", "&amp;",
}

var labels = []string{"", "utf-8", "us-ascii", "iso-8859-1", "utf-7", "utf-16", "utf-16le", "utf-32", "iso-2022-jp", "iso-2022-kr", "iso-2022-cn",
	"gb18030", "big5", "shift_jis", "euc-jp", "euc-kr", "koi8-r", "unknown-8bit", "nonsense", "x-utf_8j", "hz-gb-2312", "iso-8859-15"}

// TestDecodingInPieces compares texts decoded in memory with the same ones as they stream by, in pieces of all sizes.
func TestDecodingInPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 4000 {
		var text []byte
		for range 1 + r.IntN(12) {
			text = append(text, pieces[r.IntN(len(pieces))]...)
		}
		if i%50 == 0 {
			text = bytes.Repeat(text, 3000)
		}
		checkDecoding(t, text, labels[r.IntN(len(labels))])
	}
	for _, label := range labels {
		checkDecoding(t, nil, label)
	}
}

func checkDecoding(t *testing.T, text []byte, label string) {
	t.Helper()
	want, exact := Decode(text, label)
	for name, open := range map[string]func() io.Reader{
		"whole":      func() io.Reader { return bytes.NewReader(text) },
		"halves":     func() io.Reader { return iotest.HalfReader(bytes.NewReader(text)) },
		"early ends": func() io.Reader { return iotest.DataErrReader(bytes.NewReader(text)) },
		"bytes":      func() io.Reader { return iotest.OneByteReader(bytes.NewReader(text)) },
	} {
		if name == "bytes" && len(text) > 1000 {
			continue
		}
		d, err := Stream(open).Decode(label)
		if err != nil {
			t.Fatal(err)
		}
		if n := jsonSize(t, want); d.JSONSize() != n {
			t.Fatalf("%s of %.200q as %s: %d bytes in JSON, want %d", name, text, label, d.JSONSize(), n)
		}
		b, err := io.ReadAll(d.Open())
		if got := string(b); err != nil || got != want || d.Exact != exact || d.size != int64(len(want)) || d.isBlank() != (strings.TrimSpace(want) == "") ||
			d.hasControl() != strings.ContainsFunc(want, isControl) {
			t.Fatalf("%s of %.200q as %s: %.200q (exact %v, size %d, blank %v, control %v), want %.200q (exact %v)", name, text, label,
				got, d.Exact, d.size, d.isBlank(), d.hasControl(), want, exact)
		}
	}
}

func jsonSize(t *testing.T, text string) int64 {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(strings.ReplaceAll(text, "\x00", "\uFFFD")); err != nil {
		t.Fatal(err)
	}
	return int64(b.Len() - len("\"\"\n"))
}

func isControl(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\v\f\r", r) || r == 0x7f }

// TestDecodingFails asserts that what cannot be read is never taken for another charset.
func TestDecodingFails(t *testing.T) {
	for _, label := range labels {
		for reads := range 4 {
			failed := false
			open := func() io.Reader {
				if reads--; reads < 0 {
					failed = true
					return io.MultiReader(strings.NewReader("\x1b$B"), iotest.ErrReader(io.ErrClosedPipe))
				}
				return strings.NewReader("\x1b$BA\xe9")
			}
			d, err := Stream(open).Decode(label)
			if err == nil {
				_, err = io.ReadAll(d.Open())
			}
			if failed != (err == io.ErrClosedPipe) || !failed && err != nil {
				t.Errorf("%s: %v", label, err)
			}
		}
	}
}

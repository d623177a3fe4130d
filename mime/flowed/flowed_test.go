package flowed

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReader(t *testing.T) {
	long := strings.Repeat("x", pieceSize)
	for _, tt := range []struct {
		name, in, want string
		delSp          bool
	}{
		{name: "empty"},
		{name: "fixed lines", in: "one\r\ntwo\r\n\r\nthree", want: "one\r\ntwo\r\n\r\nthree"},
		{name: "a paragraph", in: "one \r\ntwo \r\nthree\r\nfour\r\n", want: "one two three\r\nfour\r\n"},
		{name: "LF", in: "one \ntwo\nthree", want: "one two\nthree"},
		{name: "a link in two", in: "https://x.example/a \r\nb?c=d \r\ne\r\n", want: "https://x.example/ab?c=de\r\n", delSp: true},
		{name: "spaces between words", in: "one  \r\ntwo \r\nthree\r\n", want: "one twothree\r\n", delSp: true},
		{name: "stuffed", in: " From here\r\n > no quote\r\n  indented\r\n \r\n", want: "From here\r\n> no quote\r\n indented\r\n\r\n"},
		{name: "stuffed within a paragraph", in: "one \r\n From two\r\n", want: "one From two\r\n"},
		{name: "quotes", in: "> one \r\n> two\r\n>> three \r\n> four\r\n>five \r\n>six\r\n", want: "> one two\r\n>> three \r\n> four\r\n>five six\r\n"},
		{name: "quote marks alone", in: ">\r\n>> \r\n>\r\n", want: ">\r\n>> \r\n>\r\n"},
		{name: "quotes, delsp", in: "> htt \r\n> p://x\r\n", want: "> http://x\r\n", delSp: true},
		{name: "signature", in: "end \r\n-- \r\nAnn \r\nCEO\r\n", want: "end \r\n-- \r\nAnn CEO\r\n"},
		{name: "quoted signature", in: "> end \r\n> -- \r\n> Ann\r\n", want: "> end \r\n> -- \r\n> Ann\r\n"},
		{name: "no signature", in: "x-- \r\ny\r\n--  \r\nz\r\n", want: "x-- y\r\n--  z\r\n"},
		{name: "a space alone", in: "one \r\n \r\ntwo\r\n", want: "one \r\ntwo\r\n"},
		{name: "a space at the end", in: "one ", want: "one "},
		{name: "a soft break at the end", in: "one \r\n", want: "one "},
		{name: "lone CR", in: "one \rtwo \r\nthree", want: "one \rtwo three"},
		{name: "a line longer than the buffer", in: long + " \r\n" + long + "\r\nx", want: long + " " + long + "\r\nx"},
		{name: "the break at the end of the buffer", in: long[2:] + " \r\n" + long[1:] + " \r\nx", want: long[2:] + long[1:] + "x", delSp: true},
		{name: "many quote marks", in: strings.Repeat(">", 2*pieceSize) + "\r\nx", want: strings.Repeat(">", 2*pieceSize) + "\r\nx"},
		{name: "all spaces", in: strings.Repeat(" ", 3*pieceSize) + "\r\nx", want: strings.Repeat(" ", 3*pieceSize-1) + "x"},
	} {
		for how, slow := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r },
			"byte by byte": iotest.OneByteReader, "with EOF": iotest.DataErrReader} {
			got, err := io.ReadAll(NewReader(slow(strings.NewReader(tt.in)), tt.delSp))
			if err != nil || string(got) != tt.want {
				t.Errorf("%s, %s: %.200q, %v, want %.200q", tt.name, how, got, err, tt.want)
			}
		}
	}
	if _, err := io.ReadAll(NewReader(iotest.ErrReader(fs.ErrClosed), true)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkReader(b *testing.B) {
	text := strings.Repeat(strings.Repeat("word ", 14)+"\r\n", 860)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, _ = io.Copy(io.Discard, NewReader(strings.NewReader(text), true))
	}
}

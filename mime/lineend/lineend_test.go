package lineend

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
)

// read returns what translate makes of a text, however it is cut.
func read(t *testing.T, translate func(io.Reader) io.Reader, text string) string {
	t.Helper()
	whole, err := io.ReadAll(translate(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]io.Reader{"byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		"with EOF": iotest.DataErrReader(strings.NewReader(text))} {
		if got, err := io.ReadAll(translate(r)); err != nil || string(got) != string(whole) {
			t.Errorf("%q %s: %q, %v; want %q", text, name, got, err, whole)
		}
	}
	return string(whole)
}

func TestMessage(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "",
		"a":                                    "a",
		"a\nb\n":                               "a\r\nb\r\n",
		"a\r\nb\r\n":                           "a\r\nb\r\n",
		"a\rb\r":                               "a\r\nb\r\n",
		"a\r\r\nb":                             "a\r\nb",
		"\r\r\r\nb":                            "\r\nb",
		strings.Repeat("\r", maxHeld+1) + "\n": "\r\n\r\n",

		"\r\rb":                          "\r\n\r\nb",
		"a\n\r\n\rb\n":                   "a\r\n\r\n\r\nb\r\n",
		"a\n.\r\n..\nb":                  "a\r\n.\r\n..\r\nb",
		"A: b\rC: d\n\n1\r2\n":           "A: b C: d\r\n\r\n1\r\n2\r\n",
		"A: b\r\r\rC: d\n\n1\r\r2\n":     "A: b C: d\r\n\r\n1\r\n\r\n2\r\n",
		"A: b\r\r\nC: d\r\r\n\r\r\n1\r":  "A: b\r\nC: d\r\n\r\n1\r\n",
		"A: b\n\rC: d\n\nx":              "A: b\r\n C: d\r\n\r\nx",
		"A: b\n c\rD: e\n":               "A: b\r\n c D: e\r\n",
		"A: b\nno field\rC: d\n\n1\r2":   "A: b\r\nno field C: d\r\n\r\n1\r\n2",
		"A : b\rC: d\n":                  "A : b C: d\r\n",
		"A b: c\rD: e\n":                 "A b: c\r\nD: e\r\n",
		"A: b\r":                         "A: b ",
		"From a b\rC: d\nE: f\rG: h\n":   "From a b C: d\r\nE: f G: h\r\n",
		">From a b\nE: f\rG: h\n\n1\r2":  ">From a b\r\nE: f G: h\r\n\r\n1\r\n2",
		"From: a\rTo: b\n":               "From: a To: b\r\n",
		"hello\nA: b\rC: d":              "hello\r\nA: b\r\nC: d",
		" A: b\rC: d":                    " A: b\r\nC: d",
		": b\rC: d":                      ": b\r\nC: d",
		"\x01A: b\rC: d":                 "\x01A: b\r\nC: d",
		"\nA: b\rC: d":                   "\r\nA: b\r\nC: d",
		"\xef\xbb\xbfA: b\rC: d":         "\xef\xbb\xbfA: b C: d",
		"Longer-Than-All: b\rC: d\n\n\r": "Longer-Than-All: b C: d\r\n\r\n\r\n",
		"A: " + strings.Repeat("\r", 9):  "A:  ",

		"A: b\n\n--x\nContent-Type: a/b\rE: f\n\n1\r2\n--x--\n":    "A: b\r\n\r\n--x\r\nContent-Type: a/b E: f\r\n\r\n1\r\n2\r\n--x--\r\n",
		"\n--x\ncontent-type: a\n name=\"a\rE: f\"\n\n--y\n\n1\r2": "\r\n--x\r\ncontent-type: a\r\n name=\"a E: f\"\r\n\r\n--y\r\n\r\n1\r\n2",
		"\n--x\nContent-A: b\nE: f\rG: h\n":                        "\r\n--x\r\nContent-A: b\r\nE: f G: h\r\n",
		"\n--x\n--y\nContent-A: b\rE: f\n":                         "\r\n--x\r\n--y\r\nContent-A: b E: f\r\n",
		"\n--x\nConten\rE: f\n":                                    "\r\n--x\r\nConten\r\nE: f\r\n",
		"\n-- \nAnn\rBob\n\nContent-A: b\rE: f\n":                  "\r\n-- \r\nAnn\r\nBob\r\n\r\nContent-A: b\r\nE: f\r\n",
		"\n1\r--x\rContent-A: b\r\r2\r--x--\r":                     "\r\n1\r\n--x\r\nContent-A: b\r\n\r\n2\r\n--x--\r\n",
		"\n--x\rContent-A: b\rE: f\r\r2\n--x--\n":                  "\r\n--x\r\nContent-A: b\r\nE: f\r\n\r\n2\r\n--x--\r\n",
		"-":                    "-",
		"\n-\nContent-A: b\rE": "\r\n-\r\nContent-A: b\r\nE",
	} {
		if got := read(t, Message, in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if _, err := io.ReadAll(Message(iotest.ErrReader(fs.ErrClosed))); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestSession(t *testing.T) {
	for in, want := range map[string]string{
		"NOOP\nQUIT\r\n": "NOOP\r\nQUIT\r\n", "MAIL FROM:<a\rRCPT TO:<b>\n": "MAIL FROM:<a\rRCPT TO:<b>\r\n",
		"a\r\r\n": "a\r\n", "a\r": "a\r", "\r\r\r\ra": "\r\r\r\ra", "A: b\rC: d\n": "A: b\rC: d\r\n",
	} {
		if got := read(t, Session, in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// BenchmarkMessage reads a message with LF line ends.
func BenchmarkMessage(b *testing.B) {
	text := strings.Repeat(strings.Repeat("x", 74)+"\n", 860)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, _ = io.Copy(io.Discard, Message(strings.NewReader(text)))
	}
}

package smtpd

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"mailhatch/mime/lineend"
)

// decodeWhole is the rule in plain words: cut at CRLF.CRLF, take one dot off each line that starts
// after CRLF, then make line ends of everything like one as any message has it.
func decodeWhole(raw string) (text, rest string, ok bool) {
	i := strings.Index("\r\n"+raw, "\r\n.\r\n")
	if i < 0 {
		return "", "", false
	}
	text, rest = raw[:i], raw[i+3:]
	text = strings.TrimPrefix(strings.ReplaceAll("\r\n"+text, "\r\n.", "\r\n"), "\r\n")
	lines, _ := io.ReadAll(lineend.Message(strings.NewReader(text)))
	return string(lines), rest, true
}

// decodeBlocks runs the decoder over pieces of the input, into pieces of output.
func decodeBlocks(raw string, in, out int) (text, rest string, ok bool) {
	var d dotDecoder
	var b bytes.Buffer
	dst := make([]byte, out)
	src := []byte(raw)
	for len(src) > 0 && d.state != atEnd {
		nd, ns := d.decode(dst, src[:min(in, len(src))])
		b.Write(dst[:nd])
		src = src[ns:]
	}
	return b.String(), string(src), d.state == atEnd
}

func FuzzDots(f *testing.F) {
	for _, seq := range sequences {
		f.Add("hi"+seq+"more\r\n.\r\nNOOP\r\n", uint8(3), uint8(2))
	}
	f.Add("a\r\r\r\nb\r\rc\r\n..\r\n.\r\n", uint8(1), uint8(0))
	f.Add(".\r\n", uint8(1), uint8(0))
	f.Add("A: b\rC: d\r\n.\rE\r\n\r\n1\r2\r\n.\r\n", uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, raw string, in, out uint8) {
		text, rest, ok := decodeBlocks(raw, int(in)+1, int(out)+2)
		wantText, wantRest, wantOK := decodeWhole(raw)
		if ok != wantOK || ok && (text != wantText || rest != wantRest) {
			t.Fatalf("%q: got %q, rest %q, %v; want %q, rest %q, %v", raw, text, rest, ok, wantText, wantRest, wantOK)
		}
	})
}

func TestDotsAgreeForAllCuts(t *testing.T) {
	alphabet := []string{"\r", "\n", ".", "x:", "\r\n", "\r\n.\r\n"}
	var words func(prefix string, n int)
	words = func(prefix string, n int) {
		wantText, wantRest, wantOK := decodeWhole(prefix)
		for in := 1; in <= 3; in++ {
			for out := 2; out <= 4; out++ {
				text, rest, ok := decodeBlocks(prefix, in, out)
				if ok != wantOK || ok && (text != wantText || rest != wantRest) {
					t.Fatalf("%q: got %q, rest %q, %v; want %q, rest %q, %v", prefix, text, rest, ok, wantText, wantRest, wantOK)
				}
			}
		}
		if n > 0 {
			for _, a := range alphabet {
				words(prefix+a, n-1)
			}
		}
	}
	words("", 5)
}

func TestDotsMeasureLines(t *testing.T) {
	var d dotDecoder
	dst := make([]byte, 100)
	d.decode(dst, []byte("12345\r\n123\n1234567\r12\r\n12345678"))
	if d.long != 7 || d.line != 8 || !d.bare {
		t.Errorf("long %d, line %d, bare %v", d.long, d.line, d.bare)
	}
}

func BenchmarkDots(b *testing.B) {
	src := []byte(strings.Repeat(strings.Repeat("x", 74)+"\r\n", 860))
	dst := make([]byte, len(src)+8)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		var d dotDecoder
		d.decode(dst, src)
	}
}

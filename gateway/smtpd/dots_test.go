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

// decodeLF is the rule for a client whose commands have ended in LF: before the first CR, LF stands for CRLF.
func decodeLF(raw string) (text, rest string, ok bool) {
	first := strings.IndexByte(raw+"\r", '\r')
	if i := strings.Index("\n"+raw[:first], "\n.\n"); i >= 0 {
		text, rest = raw[:i], raw[i+2:]
		text = strings.TrimPrefix(strings.ReplaceAll("\n"+text, "\n.", "\n"), "\n")
		lines, _ := io.ReadAll(lineend.Message(strings.NewReader(text)))
		return string(lines), rest, true
	}
	plain, last := "\n"+raw[:first], ""
	if strings.HasSuffix(plain, "\n.") && first < len(raw) {
		plain, last = strings.TrimSuffix(plain, "."), "."
	}
	plain = strings.TrimPrefix(strings.ReplaceAll(plain, "\n.", "\n"), "\n") + last
	all := plain + raw[first:]
	i := strings.Index(all, "\r\n.\r\n")
	if i < 0 {
		return "", "", false
	}
	text, rest = all[:i+2], all[i+5:]
	text = strings.ReplaceAll(text, "\r\n.", "\r\n")
	lines, _ := io.ReadAll(lineend.Message(strings.NewReader(text)))
	return string(lines), rest, true
}

// decode is what a decoder should make of a text.
func decode(raw string, onlyLF bool) (text, rest string, ok bool) {
	if onlyLF {
		return decodeLF(raw)
	}
	return decodeWhole(raw)
}

// decodeBlocks runs the decoder over pieces of the input, into pieces of output.
func decodeBlocks(raw string, onlyLF bool, in, out int) (text, rest string, ok bool) {
	d := dotDecoder{onlyLF: onlyLF}
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
		f.Add("hi"+seq+"more\r\n.\r\nNOOP\r\n", false, uint8(3), uint8(2))
		f.Add("hi\n"+seq+"more\n.\nNOOP\n", true, uint8(3), uint8(2))
	}
	f.Add("a\r\r\r\nb\r\rc\r\n..\r\n.\r\n", false, uint8(1), uint8(0))
	f.Add(".\r\n", false, uint8(1), uint8(0))
	f.Add("A: b\rC: d\r\n.\rE\r\n\r\n1\r2\r\n.\r\n", false, uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, raw string, onlyLF bool, in, out uint8) {
		text, rest, ok := decodeBlocks(raw, onlyLF, int(in)+1, int(out)+2)
		wantText, wantRest, wantOK := decode(raw, onlyLF)
		if ok != wantOK || ok && (text != wantText || rest != wantRest) {
			t.Fatalf("%q: got %q, rest %q, %v; want %q, rest %q, %v", raw, text, rest, ok, wantText, wantRest, wantOK)
		}
	})
}

func TestDotsAgreeForAllCuts(t *testing.T) {
	alphabet := []string{"\r", "\n", ".", "x:", "\r\n", "\r\n.\r\n"}
	var words func(prefix string, onlyLF bool, n int)
	words = func(prefix string, onlyLF bool, n int) {
		wantText, wantRest, wantOK := decode(prefix, onlyLF)
		for in := 1; in <= 3; in++ {
			for out := 2; out <= 4; out++ {
				text, rest, ok := decodeBlocks(prefix, onlyLF, in, out)
				if ok != wantOK || ok && (text != wantText || rest != wantRest) {
					t.Fatalf("%q: got %q, rest %q, %v; want %q, rest %q, %v", prefix, text, rest, ok, wantText, wantRest, wantOK)
				}
			}
		}
		if n > 0 {
			for _, a := range alphabet {
				words(prefix+a, onlyLF, n-1)
			}
		}
	}
	words("", false, 5)
	words("", true, 5)
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

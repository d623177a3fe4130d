package charset

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// every puts sep behind each n bytes of a text.
func every(n int, text, sep string) string {
	var out strings.Builder
	for i := 0; i < len(text); i += n {
		out.WriteString(text[i:min(i+n, len(text))])
		out.WriteString(sep)
	}
	return out.String()
}

// lost leaves out each nth byte of a text.
func lost(n int, text string) string {
	var out strings.Builder
	for i := range len(text) {
		if i%n != n-1 {
			out.WriteByte(text[i])
		}
	}
	return out.String()
}

const (
	german  = "Störung: Filiale Größenberg meldet, daß die Türen über Nacht geöffnet waren. "
	russian = "Сбой на сервере базы данных "
	nippon  = "サーバーが停止しました。"
	french  = "Le caf\xe9 «\xa0\xc0 l'\xc9toile\xa0» est ferm\xe9, d\xe9sol\xe9\x85 "
)

// TestCutCharacters: where bytes that are not UTF-8 stand shows whether the text is UTF-8.
func TestCutCharacters(t *testing.T) {
	for name, text := range map[string]string{
		"tail":                              "Störung: Filiale Gr\xc3",
		"tail without another":              "Filiale Gr\xc3",
		"tail of a dash":                    "Filiale 7 \xe2\x80",
		"tail of a picture":                 "Filiale 7 \xf0\x9f\x94",
		"tail before dots":                  "Störung: Filiale Gr\xc3...",
		"tail before an extension":          "Störung Gr\xc3.pdf",
		"tail without another, extension":   "Filiale Gr\xc3.pdf",
		"tail of a line":                    "Störung\nFiliale Gr\xc3\nMehr\n",
		"tails of lines":                    "Störung\nGr\xc3\nM\xc3\nT\xc3\n",
		"tails of fields":                   "Störung|Gr\xc3|Ort\xc3|Grün",
		"head":                              "\xb6rung: Größe",
		"tail of Russian":                   russian + "\xd0",
		"tail of Japanese":                  nippon + "\xe3\x81",
		"head and tail of Japanese":         "\x82" + nippon + "\xe3",
		"byte order mark":                   "\xef\xbb\xbfx\xe9y",
		"lines of odd length, German":       every(7, german, "\n"),
		"lines of odd length, Russian":      every(5, russian, "\r\n"),
		"lines of two bytes, Japanese":      every(2, nippon, "\r\n"),
		"folded every 7 bytes":              every(7, german+german, " "),
		"folded every 2 bytes, Japanese":    every(2, nippon, " "),
		"each 40th byte lost":               lost(40, strings.Repeat(german, 5)),
		"each 10th byte lost, Russian":      lost(10, strings.Repeat(russian, 5)),
		"tags between":                      every(11, german+german, "<br>"),
		"a long text with one letter":       strings.Repeat("text ", 10000) + "ö, Gr\xc3",
		"one letter of another charset":     german + "M\xfcller",
		"arabic with letters of another":    "قائمة الأسعار الجديدة M\xfcller",
		"a half that cannot be completed":   "Größe \xc3 x, Größe \xe2\x80 x",
		"a character before the other half": "Größe Gr\xc3ö",
	} {
		got, exact := Decode([]byte(text), "utf-8")
		if want := strings.ToValidUTF8(strings.TrimPrefix(text, "\xef\xbb\xbf"), "\uFFFD"); got != want || exact {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if !IsUTF8([]byte(text)) {
			t.Errorf("%s: not taken for UTF-8", name)
		}
	}
	for name, text := range map[string]string{
		"one letter":             "\xe9",
		"last letter":            "un caf\xe9",
		"capitals":               "AMANH\xc3",
		"words":                  "M\xfcller, K\xf6ln, Gr\xfc\xdfe, \xc4rger",
		"French":                 french,
		"French in capitals":     "CAF\xc9\xa0! MERCI \xe0 tous, \xe0 bient\xf4t",
		"quoted":                 "\xabcaf\xe9\xbb",
		"typographic quotes":     "\x93Hello\x94 \x96 it\x92s late\x85",
		"quotes alone":           "\x93Hello\x94",
		"Portuguese":             "AMANH\xc3 \x93FESTA\x94: N\xc3O PERCA",
		"an accident":            "CAF\xc9\xbb et th\xe9, \xe0 bient\xf4t, \xe0 demain",
		"letters side by side":   "\xe4\xf6\xfc \xc4\xd6\xdc",
		"Cyrillic, windows-1251": "\xd1\xe1\xee\xe9 \xed\xe0 \xf1\xe5\xf0\xe2\xe5\xf0\xe5",
		"no byte of UTF-8":       "\xc0 \xff",
		"more than there is":     "Gr\xf6\xdfe ö M\xfcller",
		"overlong":               "\xe0\x80\x80",
	} {
		if got, _ := Decode([]byte(text), "utf-8"); strings.Contains(got, "\uFFFD") || IsUTF8([]byte(text)) {
			t.Errorf("%s: %q, not in windows-1252", name, got)
		}
	}
}

// TestCutsInPieces: it does not matter how a text is read.
func TestCutsInPieces(t *testing.T) {
	for _, text := range []string{every(5, russian, "\r\n"), every(2, nippon, " "), french, german + "Gr\xc3", "a \xe2\x80"} {
		whole := traitsOf([]byte(text))
		for _, slow := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader} {
			var pieces traits
			if err := pieces.read(slow(bytes.NewReader([]byte(text)))); err != nil {
				t.Fatal(err)
			}
			if pieces.cuts.score != whole.cuts.score {
				t.Errorf("%q: %d in pieces, %d", text, pieces.cuts.score, whole.cuts.score)
			}
		}
	}
}

package mime

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
)

// randomTree writes random MIME trees and remembers what is in their leaves.
type randomTree struct {
	r      *rand.Rand
	out    bytes.Buffer
	eol    string
	leaves [][]byte
	names  []string
	n      int
}

func (g *randomTree) line(format string, args ...any) { fmt.Fprintf(&g.out, format+g.eol, args...) }

func (g *randomTree) part(depth int) {
	if depth > 0 && g.r.IntN(3) > 0 {
		g.multipart(depth)
		return
	}
	g.leaf()
}

func (g *randomTree) multipart(depth int) {
	g.n++
	boundary := fmt.Sprintf("b%d%s", g.n, strings.Repeat("-", g.r.IntN(3)))
	kind := []string{"mixed", "alternative", "related", "report", "x-unheard-of", "signed"}[g.r.IntN(6)]
	g.line(`Content-Type: multipart/%s; boundary="%s"`, kind, boundary)
	g.line("")
	if g.r.IntN(2) == 0 {
		g.line("This is a multi-part message in MIME format.")
	}
	for range 1 + g.r.IntN(4) {
		g.line("--%s%s", boundary, strings.Repeat(" ", g.r.IntN(2)))
		g.part(depth - 1)
		g.line("")
	}
	g.line("--%s--", boundary)
}

func (g *randomTree) leaf() {
	g.n++
	kind := []string{"text/plain", "text/html", "text/calendar", "image/png", "application/pdf", "message/rfc822"}[g.r.IntN(6)]
	content := make([]byte, g.r.IntN(300))
	for i := range content {
		content[i] = byte(g.r.IntN(256))
	}
	g.line("Content-Type: %s", kind)
	name := ""
	if g.r.IntN(2) == 0 {
		name = fmt.Sprintf("file %d.bin", g.n)
		g.line("Content-Disposition: attachment;%s filename=%q", g.eol, name)
	}
	if g.r.IntN(3) == 0 {
		g.line("Content-ID: <c%d@x>", g.n)
	}
	switch g.r.IntN(3) {
	case 0:
		g.line("Content-Transfer-Encoding: base64")
		g.line("")
		coded := base64.StdEncoding.EncodeToString(content)
		for ; len(coded) > 76; coded = coded[76:] {
			g.line("%s", coded[:76])
		}
		g.out.WriteString(coded)
	case 1:
		g.line("Content-Transfer-Encoding: quoted-printable")
		g.line("")
		w := quotedprintable.NewWriter(&g.out)
		w.Binary = true
		_, _ = w.Write(content)
		_ = w.Close()
	default:
		g.line("Content-Transfer-Encoding: 8bit")
		g.line("")
		content = bytes.ReplaceAll(append(content, '.'), []byte("--"), []byte("__")) // no delimiter, no line end to share
		g.out.Write(content)
	}
	g.leaves = append(g.leaves, content)
	g.names = append(g.names, name)
}

// TestRandomTrees asserts that every leaf of a well-formed message is found with its bytes and name,
// and that it is in the Content once.
func TestRandomTrees(t *testing.T) {
	for seed := range uint64(500) {
		g := &randomTree{r: rand.New(rand.NewPCG(seed, 1)), eol: []string{"\r\n", "\n"}[seed%2]}
		g.line("From: a@x")
		g.part(4)
		m, err := Parse(NewBytesSource(g.out.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		leaves := m.Root.Leaves()
		if len(leaves) != len(g.leaves) {
			t.Fatalf("seed %d: %d leaves, want %d:\n%s", seed, len(leaves), len(g.leaves), g.out.String())
		}
		for i, p := range leaves {
			if p.Defect != nil || p.Name != g.names[i] {
				t.Fatalf("seed %d, leaf %d: name %q, want %q, %v", seed, i, p.Name, g.names[i], p.Defect)
			}
			if got := readAll(t, p.Open()); !bytes.Equal(got, g.leaves[i]) {
				t.Fatalf("seed %d, leaf %d: %q, want %q", seed, i, got, g.leaves[i])
			}
		}
		checkWhole(t, m)
		checkWith(t, m)
	}
}

func benchmarkMessage(size int) Source {
	var b bytes.Buffer
	b.WriteString("From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nDate: Mon, 22 Nov 2026 10:00:00 +0000\r\n" +
		"Message-ID: <1@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" +
		"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nplain\r\n--c\r\n" +
		"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>caf=C3=A9</p>\r\n--c--\r\n--b\r\n" +
		"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for b.Len() < size {
		b.WriteString(strings.Repeat("QUJD", 19) + "\r\n")
	}
	b.WriteString("--b--\r\n")
	return NewBytesSource(b.Bytes())
}

func BenchmarkParse(b *testing.B) {
	for _, size := range []int{8 << 10, 10 << 20} {
		src := benchmarkMessage(size)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(src.Size())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	src := benchmarkMessage(10 << 20)
	m, err := Parse(src)
	if err != nil {
		b.Fatal(err)
	}
	leaves := m.Root.Leaves()
	b.SetBytes(src.Size())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.Copy(io.Discard, leaves[len(leaves)-1].Open()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWith(b *testing.B) {
	m, err := Parse(benchmarkMessage(8 << 10))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.With(Edit{Op: Prepend, Name: "Received", Value: "from a by b"}, Edit{Name: "Bcc"}); err != nil {
			b.Fatal(err)
		}
	}
}

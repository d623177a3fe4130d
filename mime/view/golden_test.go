package view

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"mailhatch/mime"
	"mailhatch/mime/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden reads every message of testdata and compares what was understood with the file beside it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.eml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			m := parseFile(t, file)
			got := describe(t, m, mime.TextInMemory)
			golden := strings.TrimSuffix(file, ".eml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(got, describe(t, m, 0)); d != "" {
				t.Error("in a stream it is something else:", d)
			}
			checkPlaced(t, m)
		})
	}
}

func parseFile(t *testing.T, file string) *mime.Message {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mime.Parse(mime.NewBytesSource(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// describe writes everything an upstream would see.
func describe(t *testing.T, m *mime.Message, limit int64) string {
	t.Helper()
	var out strings.Builder
	line := func(name, format string, args ...any) { fmt.Fprintf(&out, name+": "+format+"\n", args...) }
	list := func(name string, addrs []mime.Address) {
		for _, a := range addrs {
			line(name, "%q %q", a.Name, a.Addr)
		}
	}
	list("From", m.From)
	if m.Sender != nil {
		list("Sender", []mime.Address{*m.Sender})
	}
	list("Reply-To", m.ReplyTo)
	list("To", m.To)
	list("Cc", m.Cc)
	line("Subject", "%q", m.Subject)
	if m.MessageID != "" {
		line("Message-ID", "%s", m.MessageID)
	}
	c, err := within(m, limit)
	if err != nil {
		t.Fatal(err)
	}
	if c.Opaque != "" {
		line("Opaque", "%s", c.Opaque)
	}
	for _, p := range m.Root.Leaves() {
		if p.Defect != nil {
			line("Defect", "%s: %v", p.Type, p.Defect)
		}
	}
	if c.Text != nil {
		line("Text", "%q", bodyText(t, c.Text))
	}
	if c.HTML != nil {
		line("HTML", "%q", bodyText(t, c.HTML))
	}
	for _, p := range c.Alternatives {
		line("Alternative", "%s %v %q", p.Type, p.Params, readAll(t, p.Open()))
	}
	for _, a := range c.Attachments {
		mark := ""
		if a.Inline {
			mark += " inline"
		}
		if a.ContentID != "" {
			mark += " <" + a.ContentID + ">"
		}
		if a.Original {
			mark += " original"
		}
		line("Attachment", "%q %s%s %q", a.Name, a.Type, mark, readAll(t, a.Part.Open()))
	}
	return out.String()
}

// bodyText reads a body twice, for it must be the same each time.
func bodyText(t testing.TB, b *Body) string {
	t.Helper()
	text := string(readAll(t, b.Open()))
	size, err := b.Size()
	if again := string(readAll(t, b.Open())); again != text || int64(len(text)) != size || err != nil || b.IsEmpty() != (text == "") || b.IsBlank() != (strings.TrimSpace(text) == "") {
		t.Errorf("%d bytes, %d when read again, %d said; blank: %v", len(text), len(again), size, b.IsBlank())
	}
	if held, whole := b.Held(); whole && held != text {
		t.Errorf("Held gives %q, Open %q", held, text)
	}
	return text
}

func readAll(t testing.TB, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkPlaced asserts that each leaf of a message, good or bad, is in one place.
func checkPlaced(t testing.TB, m *mime.Message) {
	t.Helper()
	c, err := Of(m)
	if err != nil {
		t.Fatal(err)
	}
	placed := map[[2]int64]int{}
	key := func(p *mime.Part) [2]int64 { // no two have a header and a body at the same place
		_, start, size := p.Raw().(*io.SectionReader).Outer()
		return [2]int64{start, size}
	}
	place := func(p *mime.Part) { placed[key(p)]++ }
	seen := map[*mime.Part]bool{} // in one of the bodies or in both
	for _, b := range []*Body{c.Text, c.HTML} {
		if b == nil {
			continue
		}
		for _, p := range b.Parts {
			if !seen[p] {
				seen[p] = true
				place(p)
			}
		}
	}
	for _, p := range c.Alternatives {
		place(p)
	}
	for _, a := range c.Attachments {
		if a.Name == "" || a.Type == "" {
			t.Fatalf("attachment without name or type: %+v", a)
		}
		if n, err := a.Part.DecodedSize(); err != nil || n != int64(len(readAll(t, a.Part.Open()))) {
			t.Fatalf("%s: decoded size %d is wrong, %v", a.Name, n, err)
		}
		if !a.Original {
			place(a.Part)
		}
	}
	for _, p := range m.Root.Leaves() {
		if n := placed[key(p)]; n != 1 && !(n == 0 && isText(p) && len(bytes.TrimSpace(readAll(t, p.Open()))) == 0) {
			t.Fatalf("leaf %s is in %d places", p.Type, n)
		}
	}
}

func FuzzContent(f *testing.F) {
	files, _ := filepath.Glob("../testdata/*.eml")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := mime.Parse(mime.NewBytesSource(raw))
		if err != nil {
			t.Fatal(err)
		}
		checkPlaced(t, m)
		c, _ := Of(m)
		for _, b := range []*Body{c.Text, c.HTML} {
			if b != nil && !utf8.ValidString(bodyText(t, b)) {
				t.Fatal("body is not UTF-8")
			}
		}
		if diff := cmp.Diff(describe(t, m, mime.TextInMemory), describe(t, m, 0)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestTo7BitSaysTheSame converts every message of testdata and compares what it says.
func TestTo7BitSaysTheSame(t *testing.T) {
	files, _ := filepath.Glob("../testdata/*.eml")
	converted := 0
	for _, file := range files {
		m := parseFile(t, file)
		s, err := wire.To7Bit(m)
		if err != nil {
			continue // as the tests of mime expect
		}
		if s != m {
			converted++
		}
		checkPlaced(t, s)
		if d := cmp.Diff(strings.ReplaceAll(describe(t, m, mime.TextInMemory), `\r\n`, `\n`), strings.ReplaceAll(describe(t, s, mime.TextInMemory), `\r\n`, `\n`)); d != "" {
			t.Errorf("%s: %s", file, d)
		}
	}
	if converted < 10 {
		t.Errorf("only %d messages needed conversion", converted)
	}
}

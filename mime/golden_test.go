package mime

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden reads every message of testdata and compares what was understood with the file beside it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			m := parseFile(t, file)
			got := describe(t, m, TextInMemory)
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
			checkWhole(t, m)
		})
	}
}

func parseFile(t *testing.T, file string) *Message {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(NewBytesSource(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// describe writes everything an upstream would see.
func describe(t *testing.T, m *Message, limit int64) string {
	t.Helper()
	var out strings.Builder
	line := func(name, format string, args ...any) { fmt.Fprintf(&out, name+": "+format+"\n", args...) }
	list := func(name string, addrs []Address) {
		for _, a := range addrs {
			line(name, "%q %q", a.Name, a.Addr)
		}
	}
	list("From", m.From)
	if m.Sender != nil {
		list("Sender", []Address{*m.Sender})
	}
	list("Reply-To", m.ReplyTo)
	list("To", m.To)
	list("Cc", m.Cc)
	line("Subject", "%q", m.Subject)
	if m.MessageID != "" {
		line("Message-ID", "%s", m.MessageID)
	}
	c, err := m.contentWithin(limit)
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
	if again := string(readAll(t, b.Open())); again != text || int64(len(text)) != b.Size() || b.IsBlank() != (strings.TrimSpace(text) == "") {
		t.Errorf("%d bytes, %d when read again, %d said; blank: %v", len(text), len(again), b.Size(), b.IsBlank())
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

// checkWhole asserts what holds for every message, good or bad.
func checkWhole(t testing.TB, m *Message) {
	t.Helper()
	raw := readAll(t, m.Reader())
	if int64(len(raw)) != m.Source.Size() || m.BodyOffset() > m.Source.Size() || !bytes.HasPrefix(raw, m.HeaderBytes()) {
		t.Fatal("header or body offset are wrong")
	}
	if got := EditHeader(m.HeaderBytes()); !bytes.Equal(got, m.HeaderBytes()) {
		t.Fatalf("editing nothing changed the header: %q", got)
	}
	c, err := m.Content()
	if err != nil {
		t.Fatal(err)
	}
	placed := map[[3]int64]int{}
	key := func(p *Part) [3]int64 { return [3]int64{p.headerAt, p.start, p.end} }
	place := func(p *Part) { placed[key(p)]++ }
	if c.Text != nil {
		place(c.Text.Part)
	}
	if c.HTML != nil {
		place(c.HTML.Part)
	}
	for _, p := range c.Alternatives {
		place(p)
	}
	for _, a := range c.Attachments {
		if a.Name == "" || a.Type == "" {
			t.Fatalf("attachment without name or type: %+v", a)
		}
		if !a.Original {
			place(a.Part)
		}
	}
	for _, p := range m.Root.Leaves() {
		if n := placed[key(p)]; n != 1 {
			t.Fatalf("leaf %s at %d is in %d places", p.Type, p.start, n)
		}
		content := readAll(t, p.Open())
		if n, err := p.DecodedSize(); err != nil || n != int64(len(content)) {
			t.Fatalf("decoded size %d, %v, read %d", n, err, len(content))
		}
		if p.start > p.end || p.end > m.Source.Size() {
			t.Fatalf("part at %d to %d", p.start, p.end)
		}
	}
	for _, a := range c.Attachments {
		if n, err := a.Part.DecodedSize(); err != nil || n != int64(len(readAll(t, a.Part.Open()))) {
			t.Fatalf("%s: decoded size %d is wrong, %v", a.Name, n, err)
		}
	}
}

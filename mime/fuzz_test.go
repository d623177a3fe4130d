package mime

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.eml")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(NewBytesSource(raw))
		if err != nil {
			t.Fatal(err)
		}
		checkWhole(t, m)
		checkText(t, m.Subject)
		for _, p := range m.Root.Leaves() {
			checkText(t, p.Name)
		}
		checkWith(t, m)
	})
}

// checkWith asserts that an edit keeps the body and the tree.
func checkWith(t testing.TB, m *Message) {
	t.Helper()
	w, err := m.With(Edit{Op: Prepend, Name: "Received", Value: "from x"}, Edit{Op: Remove, Name: "Bcc"})
	if err != nil {
		t.Fatal(err)
	}
	old := readAll(t, m.Reader())[m.BodyOffset():]
	if got := readAll(t, w.Reader())[w.BodyOffset():]; !bytes.Equal(got, old) {
		t.Fatalf("body %q became %q", old, got)
	}
	if w.Header.Get("Received") == "" || w.Header.Has("Bcc") {
		t.Fatalf("edits are missing in %q", w.HeaderBytes())
	}
	if a, b := len(m.Root.Leaves()), len(w.Root.Leaves()); a != b {
		t.Fatalf("%d leaves became %d", a, b)
	}
}

func checkText(t testing.TB, s string) {
	t.Helper()
	if !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") {
		t.Fatalf("bad text %q", s)
	}
}

func FuzzEditHeader(f *testing.F) {
	f.Add([]byte("From: a@x\r\nBcc : b@x\r\n c@x\r\nSubject: s\r\n\r\n"), "Bcc", "näme <a@x>", byte(0))
	f.Add([]byte("From a@x\nA: b\n\nC"), "X-*", "a\r\nBcc: x", byte(1))
	f.Add([]byte("no field"), "To", strings.Repeat("long ", 50), byte(2))
	f.Fuzz(func(t *testing.T, raw []byte, name, value string, op byte) {
		e := Edit{Op: EditOp(op % 4), Name: name, Value: value}
		got := EditHeader(raw, e)
		top := trimEmptyLine(raw)
		if !bytes.HasSuffix(got, raw[len(top):]) {
			t.Fatalf("what follows the header changed: %q", got)
		}
		before, after := ParseHeader(top), ParseHeader(trimEmptyLine(got))
		grown := len(after) - len(before)
		if e.Op == Remove && grown > 0 || grown > 1 {
			t.Fatalf("%d fields came in: %q", grown, got)
		}
		for _, b := range before {
			if strings.EqualFold(b.Name, name) || e.matches(b.Name) || (e.Op == Remove || e.Op == Replace) && b.Name == "" {
				continue
			}
			if !containsRaw(after, bytes.TrimRight(b.Raw, "\r\n")) {
				t.Fatalf("%q is gone from %q", b.Raw, got)
			}
		}
	})
}

func containsRaw(h Header, raw []byte) bool {
	for _, f := range h {
		if bytes.Equal(bytes.TrimRight(f.Raw, "\r\n"), raw) {
			return true
		}
	}
	return false
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{
		"root (Cron Daemon)", "undisclosed-recipients:;", "A <a@x", "<a@x>;", `"a b"@x, a.@x`, "=?utf-8?q?a=2Cb?= <a@x>",
		`Team: "B, C" <b@c>;, d@e`, "Ann b@x", `"" <@a,@b:c@d>`, "a@[IPv6:::1]", "\xe9 <\xe9@x>", `"a\"b" <c@d>`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, _ := ParseAddressList(s)
		for _, a := range list {
			checkText(t, a.Name)
			checkText(t, a.Addr)
			text := a.String()
			if strings.ContainsAny(text, "\r\n\x00") {
				t.Fatalf("bad text %q", text)
			}
			again, err := ParseAddressList(text)
			if err != nil || len(again) != 1 || again[0].Addr != a.Addr {
				t.Fatalf("%+v of %q, written %q, read %+v, %v", a, s, text, again, err)
			}
			if name := strings.Trim(strings.Map(dropControl, a.Name), " \t"); again[0].Name != name {
				t.Fatalf("name %q of %q, written %q, read %q", name, s, text, again[0].Name)
			}
		}
	})
}

func FuzzDecodeWord(f *testing.F) {
	for _, s := range []string{
		"=?utf-8?q?a_b?=", "=?utf-8?b?w6k=?= =?utf-8?b?w6k?=", "=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "=?x*de?Q?=zz?=",
		"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "a=?utf-7?q?+AOk-?=b", "=??q?x?= =?utf-16?b?AGE=?=", "\xff=?gbk?q?=81?=",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkText(t, DecodeText(s))
		if utf8.ValidString(s) && !strings.Contains(s, "=?") {
			if got := DecodeText(encodeText(oneLine(s))); got != DecodeText(oneLine(s)) {
				t.Fatalf("%q written and read is %q", s, got)
			}
		}
		_, params := parseValue(s)
		for _, v := range params {
			checkText(t, v)
		}
	})
}

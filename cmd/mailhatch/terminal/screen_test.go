package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestScreen(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"text", "Grüße,\t世界 👩‍💻\r\nnext\n", "Grüße,\t世界 👩‍💻\nnext\n"},
		{"escape sequences", "\x1b]0;title\x07\x1b[2J", `\u001b]0;title\u0007\u001b[2J`},
		{"C1 and DEL", "\u009b31m\x7f", `\u009b31m\u007f`},
		{"direction", "a\u202etxt.exe\u202c\u2066\u2069\u200e\u200f\u061c", `a\u202etxt.exe\u202c\u2066\u2069\u200e\u200f\u061c`},
		{"separators and what is invisible", "a\u2028b\u2029c\ufeff\u200b\u2060", `a\u2028b\u2029c\ufeff\u200b\u2060`},
		{"overwriting", "safe\rEVIL\b", `safe\u000dEVIL\u0008`},
		{"CR at the end", "a\r", `a\u000d`},
		{"not UTF-8", "\xff\x9b2J\xe2\x80", `\xff\x9b2J\xe2\x80`},
	} {
		for size := 1; size <= len(tc.text); size++ { // however it is cut
			var out bytes.Buffer
			s := &Screen{file: &out}
			for text := []byte(tc.text); len(text) > 0; {
				n := min(size, len(text))
				if m, err := s.Write(text[:n]); m != n || err != nil {
					t.Fatal(m, err)
				}
				text = text[n:]
			}
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			if out.String() != tc.want {
				t.Errorf("%s by %d: %q, want %q", tc.name, size, out.String(), tc.want)
			}
		}
	}
}

// TestScreenJSON: a line of JSON stays one, of the same value.
func TestScreenJSON(t *testing.T) {
	want := "\x1b[2J \u009b \u202e \u2028 \x7f \ufeff"
	var out bytes.Buffer
	if err := json.NewEncoder(&Screen{file: &out}).Encode(want); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != want {
		t.Errorf("%q becomes %q: %v", want, got, err)
	}
	if bytes.ContainsAny(bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), "\x1b\u009b\u202e\u2028\x7f\ufeff") {
		t.Errorf("%q", out.String())
	}
}

func TestPlain(t *testing.T) {
	if got := Plain("a\x1b[2J\u009b\u202eb\u2028\xff"); got != "a [2J \ufffdb\ufffd\ufffd" {
		t.Errorf("%q", got)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestOutput(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Output(f) != f || Raw(f) != f || Interactive(f) || Interactive(nil) {
		t.Error("a file is taken for a terminal")
	}
	if _, err := (&Screen{file: failing{}}).Write([]byte("x")); err == nil {
		t.Error("no error")
	}
}

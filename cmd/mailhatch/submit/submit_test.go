package submit

import (
	"bytes"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"mailhatch/gateway/envelope"
)

func TestAuthor(t *testing.T) {
	login, gecos := account(os.Getenv)
	if login == "" {
		t.Fatal("the account has no name")
	}
	for _, c := range []struct {
		name           string
		env            map[string]string
		addr, fullName string
		want           Author
	}{
		{"account", nil, "", "", Author{gecos, login}},
		{"EMAIL", map[string]string{"EMAIL": "a@b"}, "", "", Author{gecos, "a@b"}},
		{"EMAIL with a name", map[string]string{"EMAIL": "Ann <a@b>"}, "", "", Author{"Ann", "a@b"}},
		{"EMAIL that is none", map[string]string{"EMAIL": "a b c"}, "", "", Author{gecos, login}},
		{"NAME", map[string]string{"NAME": "Ann"}, "", "", Author{"Ann", login}},
		{"-F", map[string]string{"NAME": "Ann"}, "", "Bob", Author{"Bob", login}},
		{"-f", map[string]string{"EMAIL": "a@b"}, "web@example.com", "", Author{"", "web@example.com"}},
	} {
		if got := NewAuthor(c.addr, c.fullName, func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestSpool(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, size := range []int{0, 10, SpoolMemory, SpoolMemory + 1, 3*SpoolMemory + 7} {
		s := &Spool{}
		want := bytes.Repeat([]byte("0123456789\n"), size/11+1)[:size]
		if _, err := io.Copy(s, iotest.HalfReader(bytes.NewReader(want))); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := io.ReadAll(s.Reader())
			if err != nil || !bytes.Equal(got, want) || s.size != int64(size) || s.eightBit {
				t.Errorf("%d bytes: %d come back, size %d, %v", size, len(got), s.size, err)
			}
		}
		s.Close()
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	s := &Spool{}
	_, _ = s.Write([]byte("ä"))
	if !s.eightBit {
		t.Error("8-bit text is not noticed")
	}
}

func TestNeedsUTF8(t *testing.T) {
	if needsUTF8(&envelope.Envelope{From: "a@b"}) {
		t.Error("ASCII needs SMTPUTF8")
	}
	if !needsUTF8(&envelope.Envelope{From: "a@b", To: []envelope.Recipient{{Address: "ü@b"}}}) {
		t.Error("a recipient that is not ASCII does not need SMTPUTF8")
	}
}

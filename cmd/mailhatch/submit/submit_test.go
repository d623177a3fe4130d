package submit

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
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
			if err != nil || !bytes.Equal(got, want) || s.Size() != int64(size) || s.eightBit {
				t.Errorf("%d bytes: %d come back, size %d, %v", size, len(got), s.Size(), err)
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

// TestSpoolWithoutFile: what cannot be kept is read once, when the message is.
func TestSpoolWithoutFile(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	t.Setenv("TMP", os.Getenv("TMPDIR"))
	broken := errors.New("broken")
	for _, c := range []struct {
		size int
		end  error
		want error
	}{{10, nil, nil}, {SpoolMemory, nil, nil}, {SpoolMemory + 1, nil, nil}, {3*SpoolMemory + 7, nil, nil}, {3 * SpoolMemory, broken, broken}} {
		s := &Spool{}
		want := bytes.Repeat([]byte("0123456789\n"), c.size/11+1)[:c.size]
		in := io.Reader(bytes.NewReader(want))
		if c.end != nil {
			in = io.MultiReader(in, iotest.ErrReader(c.end))
		}
		if err := s.Fill(iotest.DataErrReader(in)); err != nil {
			t.Fatal(err)
		}
		streams := c.size > SpoolMemory
		if (s.Size() < 0) != streams {
			t.Errorf("%d bytes: the size is %d", c.size, s.Size())
		}
		_, _ = s.Reader().Read(make([]byte, 10)) // what is in memory can be read again
		if s.Spent() != nil {
			t.Errorf("%d bytes: spent at once", c.size)
		}
		got, err := io.ReadAll(s.Reader())
		if err != c.want || !bytes.Equal(got, want) || (s.Spent() != nil) != streams {
			t.Errorf("%d bytes: %d come back, %v; spent: %v", c.size, len(got), err, s.Spent())
		}
		s.Close()
	}
	s := &Spool{}
	if err := s.Fill(iotest.ErrReader(broken)); err != broken {
		t.Error(err)
	}
	s = &Spool{} // what is written is in memory already
	if n, err := s.Write(make([]byte, 2*SpoolMemory)); err != nil || n != 2*SpoolMemory || s.Size() != 2*SpoolMemory {
		t.Errorf("%d bytes written, size %d, %v", n, s.Size(), err)
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

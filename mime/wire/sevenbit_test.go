package wire

import (
	"errors"
	"io"
	"mailhatch/mime"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTo7Bit(t *testing.T) {
	const multi = "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\npreamble \xff\n--b\n"
	tests := []struct {
		name, in, want string
		err            error
	}{
		{"7-bit already", "A: b\n\ntext\n", "A: b\n\ntext\n", nil},
		{"mixed line ends", "A: b\n\n\xe9\r\n\n", "A: b\nContent-Transfer-Encoding: base64\n\n6Q0KCg==\r\n", nil},
		{"text", "A: b\n\ncaf\xc3\xa9\n", "A: b\nContent-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9\n", nil},
		{"label is replaced", "Content-Transfer-Encoding: 8bit\nA: b\n\n\xe9\n", "Content-Transfer-Encoding: quoted-printable\nA: b\n\n=E9\n", nil},
		{"binary", "Content-Type: image/png\n\n\xe9\x00", "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n6QA=\r\n", nil},
		{"raw 8-bit beside quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\n\xe9=E9=\n\n", "Content-Transfer-Encoding: quoted-printable\n\n=E9=E9\n", nil},
		{"header", "Subject: caf\xc3\xa9\nTo: J\xf6rg <j@x>\n\ntext", "Subject: =?utf-8?q?caf=C3=A9?=\nTo: =?utf-8?q?J=C3=B6rg?= <j@x>\n\ntext", nil},
		{"words that look like addresses", "Cc: Do\xc3\xa9, Ann <ann@x>\n\ntext", "Cc: =?utf-8?q?Do=C3=A9?=, Ann <ann@x>\n\ntext", nil},
		{"unreadable type", "Content-Type: text/pl\xc3\xa4in; a\n\ntext", "Content-Type: text/pl?in; a\n\ntext", nil},
		{"8-bit amid base64", "Content-Transfer-Encoding: base64\n\ndGV4\xe9dA==\n", "Content-Transfer-Encoding: base64\n\ndGV4?dA==\n", nil},
		{"header in the charset of the text", "Subject: \xcd\xc9\xd2\nContent-Type: text/plain; charset=koi8-r\n\ntext",
			"Subject: =?utf-8?b?0LzQuNGA?=\nContent-Type: text/plain; charset=koi8-r\n\ntext", nil},
		{"address", "To: j\xc3\xb6rg@x\n\ntext", "", mime.ErrIntlAddr},
		{"parts", multi + "\none\n--b\nContent-Type: text/html; name=\"\xc3\xa9\"\n\n\xe9\n--b--\nepi\xff\n",
			"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\npreamble ?\n--b\n\none\n--b\n" +
				"Content-Type: text/html; name*=utf-8''%C3%A9\nContent-Transfer-Encoding: quoted-printable\n\n=E9\n--b--\nepi?\n", nil},
		{"attached message", multi + "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: \xe9\n\n\xe9\n--b--\n",
			"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\npreamble ?\n--b\n" +
				"Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: =?utf-8?b?w6k=?=\nContent-Transfer-Encoding: quoted-printable\n\n=E9\n--b--\n", nil},
		{"signed 7-bit beside 8-bit", multi + "Content-Type: multipart/signed; boundary=s\n\n--s\n\na\n--s--\n--b\n\n\xe9\n--b--\n",
			"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\npreamble ?\n--b\nContent-Type: multipart/signed; boundary=s\n\n--s\n\na\n--s--\n" +
				"--b\nContent-Transfer-Encoding: quoted-printable\n\n=E9\n--b--\n", nil},
		{"signed 8-bit", "Content-Type: multipart/signed; boundary=s\n\n--s\n\n\xe9\n--s--\n", "", ErrSigned},
		{"unknown encoding", "Content-Transfer-Encoding: x-secret\n\n\xe9", "", ErrNo7Bit},
		{"delivery status", "Content-Type: message/delivery-status\n\n\xe9", "", ErrNo7Bit},
		{"encoded message", "Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n\xe9", "", ErrNo7Bit},
		{"messages without end", strings.Repeat("Content-Type: message/rfc822\n\n", 20) + "A: b\n\n\xe9", "", ErrNo7Bit},
		{"line that is not a field", "\xc3\xa9\nSubject: a\n\ntext", "?\nSubject: a\n\ntext", nil},
		{"international field name", "X-\xc3\xa9: a\n\ntext", "", mime.ErrIntlAddr},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const version = "MIME-Version: 1.0\n" // it is added where it is missing
			m, err := mime.Parse(mime.NewBytesSource([]byte(version + tt.in)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := To7Bit(m)
			if !errors.Is(err, tt.err) {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if d := cmp.Diff(version+tt.want, string(readAll(t, got.Reader()))); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestTo7BitOfTestdata converts every message of testdata; mime/view compares what they say.
func TestTo7BitOfTestdata(t *testing.T) {
	files, _ := filepath.Glob("../testdata/*.eml")
	converted := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mime.Parse(mime.NewBytesSource(text))
		if err != nil {
			t.Fatal(err)
		}
		s, err := To7Bit(m)
		if errors.Is(err, mime.ErrIntlAddr) || errors.Is(err, ErrNo7Bit) && m.Root.Defect != nil {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if s != m {
			converted++
		}
		check7Bit(t, s)
	}
	if converted < 10 {
		t.Errorf("only %d messages needed conversion", converted)
	}
}

func TestLargeTextBecomesBase64(t *testing.T) {
	body := strings.Repeat("caf\xc3\xa9 ", 400_000)
	m, err := mime.Parse(mime.NewBytesSource([]byte("Subject: large\r\n\r\n" + body)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := To7Bit(m)
	if err != nil {
		t.Fatal(err)
	}
	if s.Root.Encoding != "base64" || string(readAll(t, s.Root.Open())) != body {
		t.Error("the text changed")
	}
}

func readAll(t testing.TB, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func check7Bit(t testing.TB, m *mime.Message) {
	t.Helper()
	if found, err := (need{eight: true}).of(m.Source, 0, m.Source.Size()); err != nil || found.eight {
		t.Fatalf("not 7-bit: %q, %v", readAll(t, m.Reader()), err)
	}
}

package send

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/submit"
)

func TestFileType(t *testing.T) {
	for _, row := range []struct{ name, content, want string }{
		{"page.html", "<p>Grüße</p>", "text/html; charset=utf-8"},
		{"page.html", "<p>Gr\xfc\xdfe</p>", "text/html"}, // some other charset
		{"page.html", "\x00\x01\x02", "application/octet-stream"},
		{"picture.png", "anything", "image/png"},
		{"picture", "\x89PNG\r\n\x1a\n0000", "image/png"},
		{"report", "%PDF-1.7", "application/pdf"},
		{"words", "words", "text/plain; charset=utf-8"},
		{"cut", strings.Repeat("a", 511) + "ü", "text/plain; charset=utf-8"},
		{"empty.png", "", "image/png"},
		{"bytes", "\x00\x01", "application/octet-stream"},
	} {
		path := filepath.Join(t.TempDir(), row.name)
		if err := os.WriteFile(path, []byte(row.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := fileType(path); got != row.want || err != nil {
			t.Errorf("%s with %.20q: %s, %v; want %s", row.name, row.content, got, err, row.want)
		}
	}
}

func TestProgress(t *testing.T) {
	var shown bytes.Buffer
	content := strings.Repeat("x", 3000)
	p := &progressReader{r: strings.NewReader(content), w: &shown, size: 6000}
	got, err := io.ReadAll(p)
	if err != nil || string(got) != content {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if s := shown.String(); !strings.HasPrefix(s, "\r") || !strings.Contains(s, " of 6.0 kB (") {
		t.Errorf("%q", s)
	}
	// Nobody looks at a file, or at what is small.
	m := &submit.Spool{}
	defer m.Close()
	if _, err := m.Write(make([]byte, progressFrom)); err != nil {
		t.Fatal(err)
	}
	c := client{stderr: &shown}
	if r, done := c.progress(m); r == nil {
		t.Error("no message")
	} else if _, ok := r.(*progressReader); ok {
		t.Error("progress without a terminal")
	} else {
		done()
	}
}

func TestSendInLatin1(t *testing.T) {
	l := Letter{To: command.List{"Jörg <ann@example.org>"}, From: "me@example.com", Text: "Gr\xfc\xdfe\n"}
	m := &submit.Spool{}
	defer m.Close()
	env, err := l.Compose(m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(m.Reader())
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.Contains(text, "Gr=FC=DFe") || !strings.Contains(text, "charset=ISO-8859-1") || env.To[0].Address != "ann@example.org" {
		t.Errorf("%+v\n%s", env, text)
	}
	if strings.Contains(text, "Subject:") {
		t.Error("a subject that nobody wrote")
	}
}

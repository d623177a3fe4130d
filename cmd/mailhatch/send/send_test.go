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
	"mailhatch/mime"
	"mailhatch/mime/view"
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

// TestSendFileNames: names that are not ASCII are written in the form of RFC 2231, others as they are.
func TestSendFileNames(t *testing.T) {
	dir := t.TempDir()
	l := Letter{To: command.List{"ann@example.org"}, From: "me@example.com", Text: "x\n"}
	for _, name := range []string{"Übersicht 2026.txt", "plan.txt"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("text\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		l.Attach = append(l.Attach, path)
	}
	m := &submit.Spool{}
	defer m.Close()
	if _, err := l.Compose(m); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(m.Reader())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "\r\n ", " ")
	for _, want := range []string{"Content-Disposition: attachment; filename*=utf-8''%C3%9Cbersicht%202026.txt\r\n",
		"Content-Type: text/plain; charset=utf-8; name*=utf-8''%C3%9Cbersicht%202026.txt\r\n", "Content-Disposition: attachment; filename=\"plan.txt\"\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	msg, err := mime.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	content, err := view.Of(msg)
	if err != nil || len(content.Attachments) != 2 || content.Attachments[0].Name != "Übersicht 2026.txt" {
		t.Errorf("%+v %v", content, err)
	}
}

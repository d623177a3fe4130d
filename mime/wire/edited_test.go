package wire

import (
	"io"
	"mailhatch/mime"
	"strings"
	"testing"
)

// TestTo7BitOfEditedMessages: an edited header, shorter or longer, moves the parts but changes none.
func TestTo7BitOfEditedMessages(t *testing.T) {
	single := "From: a@x\r\nX-SMTPAPI: {}\r\nSubject: s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße an alle\r\n"
	multi := "From: a@x\r\nX-SMTPAPI: {}\r\nSubject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=BB\r\n\r\n" +
		"--BB\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße zuerst\r\n--BB\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Öl</p>\r\n--BB--\r\n"
	edits := map[string][]mime.Edit{
		"shorter":         {{Op: mime.Remove, Name: "X-SMTPAPI"}},
		"longer":          {{Op: mime.Replace, Name: "From", Value: "A much longer name than there was <noreply@other.example>"}, {Op: mime.Append, Name: "X-More", Value: strings.Repeat("more ", 60)}},
		"shorter by much": {{Op: mime.Remove, Name: "X-SMTPAPI"}, {Op: mime.Remove, Name: "Subject"}, {Op: mime.Remove, Name: "From"}},
	}
	for name, e := range edits {
		for kind, text := range map[string]string{"single": single, "multipart": multi} {
			t.Run(kind+" "+name, func(t *testing.T) {
				m, err := mime.Parse(mime.NewBytesSource([]byte(text)))
				if err != nil {
					t.Fatal(err)
				}
				edited, err := m.With(e...)
				if err != nil {
					t.Fatal(err)
				}
				seven, err := To7Bit(edited)
				if err != nil {
					t.Fatal(err)
				}
				if found, err := (need{eight: true}).of(seven.Source, 0, seven.Source.Size()); found.eight || err != nil {
					t.Errorf("8-bit left: %v %v", found, err)
				}
				want, got := leaves(t, m), leaves(t, seven)
				if len(want) != len(got) || strings.Join(want, "|") != strings.Join(got, "|") {
					t.Errorf("contents %q, want %q", got, want)
				}
				if kind == "single" && seven.Header.Get("Content-Transfer-Encoding") == "" {
					t.Error("no Content-Transfer-Encoding")
				}
			})
		}
	}
}

func leaves(t *testing.T, m *mime.Message) []string {
	t.Helper()
	var list []string
	for _, p := range m.Root.Leaves() {
		b, err := io.ReadAll(p.Open())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(b))
	}
	return list
}

func TestTo7BitWithoutHeader(t *testing.T) {
	m, err := mime.Parse(mime.NewBytesSource([]byte("\xe9 text")))
	if err != nil {
		t.Fatal(err)
	}
	seven, err := To7Bit(m)
	if err != nil {
		t.Fatal(err)
	}
	const want = "Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n\r\n=E9 text"
	if got := string(readAll(t, seven.Reader())); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTo7BitDeclaresMIME(t *testing.T) {
	m, err := mime.Parse(mime.NewBytesSource([]byte("From: a@x\r\nSubject: s\r\n\r\nGrüße\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	seven, err := To7Bit(m)
	if err != nil {
		t.Fatal(err)
	}
	if seven.Header.Get("MIME-Version") != "1.0" || seven.Header.Get("Content-Type") != "text/plain; charset=utf-8" || seven.Header.Get("Content-Transfer-Encoding") == "" {
		t.Errorf("header %q", seven.HeaderBytes())
	}
}

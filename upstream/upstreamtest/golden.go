package upstreamtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailhatch/mime"
	"mailhatch/upstream"
)

// ParseMail reads an envelope in SMTP's words, an empty line, and a message with LF line ends.
func ParseMail(t testing.TB, raw []byte) *upstream.Mail {
	t.Helper()
	head, body, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		t.Fatal("no envelope")
	}
	m := &upstream.Mail{ID: "01JQUEUEID"}
	for line := range strings.Lines(string(head)) {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "MAIL FROM:<"); ok {
			m.From = strings.TrimSuffix(s, ">")
		} else if s, ok := strings.CutPrefix(line, "RCPT TO:<"); ok {
			m.To = append(m.To, upstream.Recipient{Address: strings.TrimSuffix(s, ">")})
		}
	}
	msg, err := mime.Parse(mime.NewBytesSource(bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	m.Message = msg
	return m
}

// CompareGolden compares with a golden file, which update writes anew.
func CompareGolden(t *testing.T, path string, got []byte, update bool) {
	t.Helper()
	if update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the request changed (-golden +now; go test -update writes it anew):\n%s", diff)
	}
}

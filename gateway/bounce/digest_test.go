package bounce

import (
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDigestGolden(t *testing.T) {
	var d Digest
	d.Add("Q1", "Rechnung für März", "ann@example.org", "550: no such user")
	d.Add("Q2", "", "bob@example.org", "422 validation_error: Ungültige\r\nAdresse")
	d.Add("Q3", strings.Repeat("long ", 40), "eve@example.org", "550: no such user")
	msg, err := d.Message("gw.example.com", "app@example.com", now)
	if err != nil {
		t.Fatal(err)
	}
	got := randomID.ReplaceAll(msg, []byte("Message-ID: <RANDOM@gw"))
	file := filepath.Join("testdata", "digest.eml")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	checkLines(t, msg)
}

func TestDigestNamesOnlySoMany(t *testing.T) {
	var d Digest
	for n := range MaxDigest + 7 {
		d.Add("Q", "s", fmt.Sprintf("x%d@example.org", n), "no")
	}
	msg, err := d.Message("gw.example.com", "app@example.com", now)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader(string(msg)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Subject") != fmt.Sprintf("Undelivered mail: %d recipients", MaxDigest+7) ||
		strings.Count(string(body), "@example.org") != MaxDigest || !strings.Contains(string(body), "and 7 more") {
		t.Errorf("%v\n%s", m.Header, body)
	}
}

package listen

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newPair makes a certificate and its key.
func newPair(t *testing.T) (pair tls.Certificate, cert, key []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := writeSelfSigned(&b, false, "localhost", time.Now()); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(b.Bytes(), b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return pair, b.Bytes(), b.Bytes()
}

func TestSelfSignedIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, selfSignedFile)
	make := func(name string, age time.Duration) {
		t.Helper()
		f, err := os.Create(path)
		if err == nil {
			err = writeSelfSigned(f, false, name, time.Now().Add(-age))
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		hostname string
		age      time.Duration
		renewed  bool
	}{
		"good":          {"a.example", 0, false},
		"nearly over":   {"a.example", selfSignedFor - selfSignedRenew/2, true},
		"another name":  {"b.example", 0, true},
		"long not over": {"a.example", selfSignedFor / 2, false},
	} {
		make(tc.hostname, tc.age)
		before, _ := os.ReadFile(path)
		if got, err := selfSigned(dir, selfSignedFile, "a.example"); err != nil || got != path {
			t.Fatalf("%s: %s, %v", name, got, err)
		}
		after, _ := os.ReadFile(path)
		if renewed := string(before) != string(after); renewed != tc.renewed {
			t.Errorf("%s: renewed %v", name, renewed)
		}
	}
	// Something else in its place is not thrown away.
	writeFile(t, path, "my notes")
	if _, err := selfSigned(dir, selfSignedFile, "a.example"); err == nil {
		t.Error("a file that is no certificate was replaced")
	}
	if _, err := selfSigned(path, selfSignedFile, "a.example"); err == nil {
		t.Error("a file is no directory")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("files are left: %q", left)
	}
}

// A renewed certificate is shown to new clients without reload or restart; a broken one is not.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func(cert, key []byte, at time.Time) {
		t.Helper()
		writeFile(t, certFile, string(cert))
		writeFile(t, keyFile, string(key))
		for _, f := range []string{certFile, keyFile} {
			if err := os.Chtimes(f, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	now := time.Now()
	oldPair, cert, key := newPair(t)
	put(cert, key, now.Add(-time.Hour))
	var log bytes.Buffer
	c, err := newCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(pair.Certificate[0])
	}
	nextPair, cert, key := newPair(t)
	put(cert, []byte("half written"), now)
	c.checked = time.Time{}
	if shown() != string(oldPair.Certificate[0]) {
		t.Error("a broken pair is shown")
	}
	c.checked = time.Time{}
	shown()
	if n := strings.Count(log.String(), "the new certificate cannot be used"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log.String())
	}
	put(cert, key, now.Add(time.Second))
	if shown() != string(oldPair.Certificate[0]) {
		t.Error("the files are read for every client")
	}
	c.checked = time.Time{}
	if shown() != string(nextPair.Certificate[0]) {
		t.Error("the new certificate is not shown")
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	c.checked = time.Time{}
	if shown() != string(nextPair.Certificate[0]) {
		t.Error("a certificate whose file is gone is not kept")
	}
	if _, err := newCertificate(certFile, keyFile, slog.Default()); err == nil {
		t.Error("no file, no error")
	}
}

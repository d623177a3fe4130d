package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestReadMessage: a message file is read with the line ends of SMTP, from wherever it comes, and held in memory once.
func TestReadMessage(t *testing.T) {
	const text, want = "Subject: x\nTo: b@example.org\r\n\nbody\n", "Subject: x\r\nTo: b@example.org\r\n\r\nbody\r\n"
	file := filepath.Join(t.TempDir(), "mail")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"": "\r\n", "-": want, file: want} {
		a := &app{stdin: strings.NewReader(text)}
		m, err := a.readMessage(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(m.Source, 0, m.Source.Size()))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
	if _, err := (&app{}).readMessage(file + "2"); err == nil {
		t.Error("no error for a file that is not there")
	}
	const size = 8 << 20
	if err := os.WriteFile(file, bytes.Repeat([]byte("line\n"), size/5), 0o600); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := (&app{}).readMessage(file); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > size*2 {
		t.Errorf("%d bytes for a message of %d with LF at the ends of its lines", n, size)
	}
}

// TestSeekable: what a pipe has given is read once and kept.
func TestSeekable(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() { _, _ = w.WriteString("Subject: x\n\n"); _ = w.Close() }()
	in, size, err := seekable(r)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if n, err := in.ReadAt(b, 0); string(b) != "Subject: x\n\n" {
		t.Errorf("%q, %d, %v", b, n, err)
	}
}

package sock

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestListen(t *testing.T) {
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, Name)
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another gateway") {
		t.Errorf("a second listener: %v", err)
	}
	// As after a crash: nobody answers, the file is there.
	if err := first.(*socket).UnixListener.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err == nil {
		t.Error("closed twice without an error")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("closing the old one took the new one's socket away: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, "missing", "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}

func TestLongNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, Name)
	l, err := Listen(path)
	if runtime.GOOS != "linux" {
		if err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("a name that is too long: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another gateway") {
		t.Errorf("a second one: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), path); err == nil {
		t.Error("it answers after the end")
	}
}

// TestNoSocket: names that no socket can have are told as such.
func TestNoSocket(t *testing.T) {
	dir := t.TempDir()
	if _, err := Listen(filepath.Join(dir, strings.Repeat("n", 200))); err == nil || !strings.Contains(err.Error(), "too long for a socket") {
		t.Errorf("a name of 200 octets: %v", err)
	}
	missing := filepath.Join(dir, strings.Repeat("d", 200), Name)
	if _, err := Dial(t.Context(), missing); err == nil {
		t.Error("a socket in a missing folder answers")
	}
	if _, err := Listen(missing); err == nil {
		t.Error("a socket was made in a missing folder")
	}
}

// TestCloseTells: what cannot be removed is not silently left.
func TestCloseTells(t *testing.T) {
	dir, err := os.MkdirTemp("", "mh") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if l.Close() == nil {
		t.Error("a folder in place of the socket was no error")
	}
}

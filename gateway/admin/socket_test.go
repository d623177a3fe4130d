package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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
	path := filepath.Join(dir, SocketName)
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
	path := filepath.Join(dir, SocketName)
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
	conn, err := dial(t.Context(), path)
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
	if _, err := dial(t.Context(), path); err == nil {
		t.Error("it answers after the end")
	}
}

func TestNotRunning(t *testing.T) {
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c := NewClient(filepath.Join(dir, "s"))
	defer c.Close()
	if err := c.Ping(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ping(ctx); errors.Is(err, ErrNotRunning) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestOddServers asks servers that are no gateway.
func TestOddServers(t *testing.T) {
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/status":
			fmt.Fprint(w, "<html>")
		case "/api/v1/log":
			http.Error(w, "<html>teapot", http.StatusTeapot)
		default:
			panic(http.ErrAbortHandler)
		}
	})}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	c := NewClient(filepath.Join(dir, "s"))
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "reading the answer") {
		t.Errorf("no JSON: %v", err)
	}
	if _, err := c.Log(t.Context(), LogFilter{Since: day0}); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("teapot: %v", err)
	}
	if _, err := c.List(t.Context(), Filter{}); err == nil || errors.Is(err, ErrNotRunning) {
		t.Errorf("cut off: %v", err)
	}
	c.Close()
	srv.Close()
	<-done
}

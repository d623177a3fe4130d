package config

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

// TestFindWhereNobodyMayLook: su and sudo keep the current directory, which the other account often may not enter.
func TestFindWhereNobodyMayLook(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("MAILHATCH_CONFIG", "")
	writeFile(t, "mailhatch.toml", "")
	if err := os.Chmod(".", 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(".", 0o700) })
	if os.Getuid() == 0 { // root may enter every directory; this thread gives that up, and ends with its goroutine
		done := make(chan string)
		go func() {
			runtime.LockOSThread()
			if err := syscall.Setfsuid(65534); err != nil {
				t.Error(err)
			}
			done <- Find("")
		}()
		if got := <-done; got == "mailhatch.toml" {
			t.Errorf("got %q", got)
		}
		return
	}
	if got := Find(""); got == "mailhatch.toml" {
		t.Errorf("got %q", got)
	}
}

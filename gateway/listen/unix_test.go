package listen

import (
	"mailhatch/gateway/config"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenUnix(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.sock")
	if _, err := listenUnix(path, 0o600, "no such group"); err == nil {
		t.Error("a group that is none was taken")
	}
	writeFile(t, path, "notes")
	if _, err := listenUnix(path, 0o600, ""); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file was replaced: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l, err := listenUnix(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, 0o600, ""); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two listeners on one socket: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as a crash leaves it
	l.Close()
	l, err = listenUnix(path, 0o600, "")
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	l.Close()
	for name, want := range map[string]int{"": -1, "12": 12} {
		if gid, err := config.GroupID(name); err != nil || gid != want {
			t.Errorf("group %q: %d, %v", name, gid, err)
		}
	}
}

//go:build unix

package systemd

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// passed sets the environment as if descriptor fd had been passed under a name.
func passed(t *testing.T, fd int, name string) {
	t.Helper()
	names := make([]string, fd-firstFD+1)
	names[fd-firstFD] = name
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("LISTEN_FDS", strconv.Itoa(len(names)))
	t.Setenv("LISTEN_FDNAMES", strings.Join(names, ":"))
}

func dup(t *testing.T, f *os.File) int {
	t.Helper()
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestListeners(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	l.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	passed(t, dup(t, f), "smtp")
	found, err := Listeners("smtp")
	if err != nil || len(found) != 1 || found[0].Addr().String() != l.Addr().String() {
		t.Fatalf("%v, %v", found, err)
	}
	found[0].Close()
	// A reload that takes the listener away and another that brings it back.
	if found, err = Listeners("smtp"); err != nil || len(found) != 1 || found[0].Addr().String() != l.Addr().String() {
		t.Fatalf("the same name again: %v, %v", found, err)
	}
	found[0].Close()
	if names := Passed(); !slices.Equal(names, []string{"", "smtp"}) && !slices.Equal(names, []string{"smtp"}) {
		t.Errorf("passed: %q", names)
	}
	if _, err := Listeners("admin"); err == nil || !strings.Contains(err.Error(), `FileDescriptorName=admin`) {
		t.Errorf("a name that nobody has: %v", err)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	passed(t, dup(t, file), "smtp")
	if _, err := Listeners("smtp"); err == nil {
		t.Error("a file that is not a socket was taken")
	}
	t.Setenv("LISTEN_PID", "1")
	if names := Passed(); names != nil {
		t.Errorf("sockets of another process: %q", names)
	}
	if _, err := Listeners("smtp"); err == nil || !strings.Contains(err.Error(), "systemd socket unit") {
		t.Errorf("sockets of another process: %v", err)
	}
}

//go:build unix

package gateway

import (
	"mailhatch/gateway/systemd"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestActivation runs the test binary anew with sockets handed over as systemd does it.
func TestActivation(t *testing.T) {
	if os.Getenv("MAILHATCH_TEST_ACTIVATED") != "" {
		beActivated(t)
		return
	}
	var files []*os.File
	var addrs []net.Addr
	for range 3 {
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
		files, addrs = append(files, f), append(addrs, l.Addr())
	}
	// systemd knows the pid before it runs the program; here a shell is that.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], "-test.run=^TestActivation$", "-test.v")
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), "MAILHATCH_TEST_ACTIVATED="+addrs[0].String()+" "+addrs[2].String(), "LISTEN_FDS=3", "LISTEN_FDNAMES=smtp:other:smtp")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "two sockets serve") {
		t.Errorf("%v\n%s", err, out)
	}
}

// beActivated is the program that gets the sockets: both of one name serve, the one of another name
// is not taken.
func beActivated(t *testing.T) {
	newHouse(t, "[[listener]]\naddress = \"fd:smtp\""+holding)
	for _, addr := range strings.Fields(os.Getenv("MAILHATCH_TEST_ACTIVATED")) {
		p := dialTalker(t, "tcp", addr)
		p.want("220")
		p.talk(begin...)
		p.talk("a: b\r\n.", "250", "QUIT", "221")
	}
	if _, err := systemd.Listeners("missing"); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a name that nobody has: %v", err)
	}
	t.Log("two sockets serve")
}

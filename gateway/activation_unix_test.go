//go:build unix

package gateway

import (
	"bufio"
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
	cmd.Env = append(os.Environ(), "MAILHATCH_TEST_ACTIVATED="+addrs[0].String()+" "+addrs[2].String()+" "+addrs[1].String(), "LISTEN_FDS=3", "LISTEN_FDNAMES=smtp:other:smtp")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all sockets serve") {
		t.Errorf("%v\n%s", err, out)
	}
}

// beActivated is the program that gets the sockets: both of one name serve; clients of the one that no listener wants are
// told so, until a reload gives it to a listener, and again once another takes it away.
func beActivated(t *testing.T) {
	h := newHouse(t, "[[listener]]\naddress = \"fd:smtp\""+holding)
	addrs := strings.Fields(os.Getenv("MAILHATCH_TEST_ACTIVATED"))
	serves := func(addr string) {
		t.Helper()
		p := dialTalker(t, "tcp", addr)
		p.want("220")
		p.talk(begin...)
		p.talk("a: b\r\n.", "250", "QUIT", "221")
	}
	const refusal = "421 4.3.2"
	greeting := func(addr string) string {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		line, _ := bufio.NewReader(c).ReadString('\n')
		return line
	}
	serves(addrs[0])
	serves(addrs[1])
	if line := greeting(addrs[2]); !strings.HasPrefix(line, refusal) {
		t.Errorf("the socket that no listener wants: %q", line)
	}
	if !strings.Contains(h.log.String(), `address = \"fd:other\"`) {
		t.Errorf("no word on the socket that no listener wants:\n%s", h.log.String())
	}
	for _, step := range []struct{ wanted, refused string }{{"other", addrs[0]}, {"smtp", addrs[2]}, {"other", addrs[0]}} {
		h.write("[[listener]]\naddress = \"fd:" + step.wanted + "\"" + holding)
		if err := h.g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		// A server may take a client while it is being stopped.
		h.await("421 at "+step.refused, func() bool { return strings.HasPrefix(greeting(step.refused), refusal) })
		for _, addr := range addrs {
			if (addr == addrs[2]) == (step.wanted == "other") {
				h.await("220 at "+addr, func() bool { return strings.HasPrefix(greeting(addr), "220") })
				serves(addr)
			}
		}
	}
	if _, err := systemd.Listeners("missing"); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a name that nobody has: %v", err)
	}
	t.Log("all sockets serve")
}

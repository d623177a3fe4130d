package listen

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
)

func TestAccountsNamePeers(t *testing.T) {
	switch runtime.GOOS {
	case "linux", "darwin", "freebsd":
	default:
		t.Skip("this system does not tell who connects")
	}
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for network, address := range map[string]string{"unix": filepath.Join(dir, "s"), "tcp": "127.0.0.1:0"} {
		inner, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer inner.Close() //nolint:errcheck // the test ends
		s := newSocket(Accounts(inner))
		v := s.view()
		go func() {
			if c, err := net.Dial(network, inner.Addr().String()); err == nil {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1))
			}
		}()
		c, err := v.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got, want := c.RemoteAddr().String(), envelope.Account(uint32(os.Getuid()))
		if network == "unix" && (got != want || c.RemoteAddr().Network() != "account") || network == "tcp" && got == want {
			t.Errorf("%s: %q by %s, want %q", network, got, c.RemoteAddr().Network(), want)
		}
		c.Close()
		closed := make(chan error)
		go func() { _, err := v.Accept(); closed <- err }()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		select { // the deadline that wakes Accept reaches the socket
		case err := <-closed:
			if err == nil {
				t.Error("a closed view accepts")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Accept does not end")
		}
	}
}

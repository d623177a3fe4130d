//go:build unix

package listen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mailhatch/gateway/config"
)

// TestUnclaimed: a socket that systemd passes and no listener names is answered with 421, and told; one that a listener
// names is not.
func TestUnclaimed(t *testing.T) {
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
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // a test's own
	const first = 3      // sd_listen_fds(3)
	names := make([]string, fd-first+1)
	for i := range names { // descriptors of the test itself
		names[i] = "smtp"
	}
	names[fd-first] = "other"
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("LISTEN_FDS", strconv.Itoa(len(names)))
	t.Setenv("LISTEN_FDNAMES", strings.Join(names, ":"))
	var log bytes.Buffer
	s := &SMTP{Log: slog.New(slog.NewTextHandler(&log, nil))}
	if list := s.unclaimed(&config.Config{Listeners: []config.Listener{{Address: "fd:smtp"}, {Address: "fd:other"}}}); len(list) != 0 {
		t.Errorf("all are wanted: %+v", list)
	}
	list := s.unclaimed(&config.Config{Hostname: "gw.example.com", Listeners: []config.Listener{{Address: "fd:smtp"}, {Address: "127.0.0.1:25"}}})
	if len(list) != 1 || list[0].Address != "fd:other" || !list[0].Optional || list[0].Public {
		t.Fatalf("%+v", list)
	}
	set := New(s.Log, func(where string, err error) { t.Errorf("%s: %v", where, err) })
	if err := set.Open(list); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), `address = \"fd:other\"`) {
		t.Errorf("log: %s", log.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- set.Run(ctx, func() {}) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "421 4.3.2 gw.example.com No listener is configured for this socket\r\n" {
		t.Errorf("%q, %v", line, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// broken is a socket that fails.
type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) { return nil, errors.New("broken") }
func (broken) Close() error              { return nil }

func TestRefuserEnds(t *testing.T) {
	var log bytes.Buffer
	if err := (refuser{"gw", slog.New(slog.NewTextHandler(&log, nil))}).Serve(t.Context(), broken{}); err != nil || !strings.Contains(log.String(), "broken") {
		t.Errorf("%v, log %q: others go on", err, log.String())
	}
}

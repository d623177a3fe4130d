package top

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailhatch/cmd/mailhatch/terminal/terminaltest"
)

// screen collects what a terminal was told.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) read(far *os.File) {
	buf := make([]byte, 4096)
	for {
		n, err := far.Read(buf)
		s.mu.Lock()
		s.text.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) await(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.String(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			all := s.String()
			t.Fatalf("waited in vain for %q; it ends with %q", want, all[max(0, len(all)-1000):])
		}
	}
}

// TestLive: frames follow the gateway and the size of the terminal, and q, Ctrl-C and the end of ctx give the terminal back.
func TestLive(t *testing.T) {
	for _, end := range []string{"q", "\x03", ""} {
		far, tty := terminaltest.Open(t)
		if err := unix.IoctlSetWinsize(int(far.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 12, Col: 40}); err != nil {
			t.Fatal(err)
		}
		before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		shown := &screen{}
		go shown.read(far)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Live(ctx, busy(), tty, tty, 50*time.Millisecond) }()
		shown.await(t, "UPSTREAM  STATE   QUEUED  SENT/MIN\x1b[0m") // the last column that 40 have room for
		shown.await(t, "accepted 0, sent 0, deferred 0, failed …")
		if end == "" {
			cancel()
		} else if _, err := far.WriteString("x" + end); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		cancel()
		shown.await(t, "\x1b[?25h\x1b[?1049l")
		after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("the terminal is another: %+v, %v", after, err)
		}
		if got := shown.String(); strings.Contains(got, "\x1b]") || strings.Contains(got, "\u202e") {
			t.Error("what controls terminals is shown")
		}
	}
}

// TestLiveWithoutAnswer: a gateway that goes is said to be gone, and one that was never there is an error.
func TestLiveWithoutAnswer(t *testing.T) {
	far, tty := terminaltest.Open(t)
	shown := &screen{}
	go shown.read(far)
	g := busy()
	v := &view{live: true}
	v.look(t.Context(), g)
	g.err = errors.New("the socket is gone")
	v.look(t.Context(), g)
	frame := v.frame(80, 24)
	if frame[1].text != "no answer: the socket is gone" || !strings.HasPrefix(frame[0].text, "mailhatch 1.2 on app1") {
		t.Errorf("%+v", frame[:2])
	}
	if err := Live(t.Context(), g, tty, nil, time.Second); err == nil {
		t.Error("no error")
	}
}

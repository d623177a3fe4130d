package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailhatch/cmd/mailhatch/terminal/terminaltest"
)

// TestTop: live on a terminal until q, which is then as it was; one snapshot in a pipe.
func TestTop(t *testing.T) {
	file := serveHeld(t)
	got := piped(t, "top", "-c", file)
	for _, want := range []string{"accepted 1, sent 0, deferred 0, failed 0 since the start\n", "in the queue: 0 queued, 1 held (", "\nUPSTREAM", "\nshown "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Errorf("a pipe gets controls: %q", got)
	}

	far, tty := terminaltest.Open(t)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd := ownProgram(t, "top", "-c", file, "--every", "100ms")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	screen := awaitText(t, far, "", "accepted 0, sent 0, deferred 0, failed 0 a minute")
	if _, err := far.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	screen = awaitText(t, far, screen, "\x1b[?1049l")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is another: %+v, %v", after, err)
	}
	if strings.ContainsAny(screen, "\x07\u202e\u009b") {
		t.Error("what controls terminals is shown")
	}
	if _, err := ownProgram(t, "top", "-c", file, "--every", "1ms").Output(); err == nil {
		t.Error("1ms is not refused")
	}
}

// awaitText reads from a terminal, after what was read before, until a text has come.
func awaitText(t *testing.T, far *os.File, screen, want string) string {
	t.Helper()
	if err := far.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Logf("without a deadline: %v", err)
	}
	buf := make([]byte, 4096)
	for !strings.Contains(screen, want) {
		n, err := far.Read(buf)
		screen += string(buf[:n])
		if err != nil {
			t.Fatalf("%v; the screen ends with %q", err, screen[max(0, len(screen)-1000):])
		}
	}
	return screen
}

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal gives both ends of a pseudo terminal (pty(7)).
func terminal(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { tty.Close() })
	return keyboard, tty
}

// TestSecretsAreNotShown answers each question when it is asked, and looks at what the terminal shows.
func TestSecretsAreNotShown(t *testing.T) {
	keyboard, tty := terminal(t)
	path := filepath.Join(t.TempDir(), "c.toml")
	asked, questions := io.Pipe()
	var out bytes.Buffer
	a := &app{stdin: tty, stdout: &out, stderr: questions}
	done := make(chan int, 1)
	go func() {
		done <- a.main(t.Context(), []string{"init", "--output", path})
		questions.Close()
	}()
	answers := []string{"resend", "app@example.com", "re_hidden", ""}
	in := bufio.NewReader(asked)
	for _, answer := range answers {
		if _, err := in.ReadString(':'); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(answer, "hidden") { // the question names env:NAME and file:/path too
			for range 3 {
				if _, err := in.ReadString(':'); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := keyboard.WriteString(answer + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 {
		t.Fatalf("exit code %d", code)
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), `api_key = "re_hidden"`) {
		t.Errorf("%v\n%s", err, b)
	}
	shown := make([]byte, 4096)
	n, err := keyboard.Read(shown)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(shown[:n]); strings.Contains(s, "hidden") || !strings.Contains(s, "app@example.com") {
		t.Errorf("the terminal shows %q", s)
	}
	if strings.Contains(out.String(), "hidden") {
		t.Error("the key is printed")
	}
}

// TestTextFromTerminal takes a message that is typed, and tells of large ones how far they are.
func TestTextFromTerminal(t *testing.T) {
	keyboard, tty := terminal(t)
	if _, err := keyboard.WriteString("typed\n\x04"); err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	a := &app{stdin: tty, stderr: &told}
	l := letter{}
	if err := a.readText(&l); err != nil || l.text != "typed\n" || !strings.Contains(told.String(), "Ctrl-D") {
		t.Errorf("%v: %q, told %q", err, l.text, told.String())
	}
	m := &spool{}
	defer m.close()
	if _, err := m.Write(make([]byte, progressFrom)); err != nil {
		t.Fatal(err)
	}
	a.stderr = tty
	message, done := a.progress(m)
	if _, err := io.Copy(io.Discard, message); err != nil {
		t.Fatal(err)
	}
	done()
	shown, piece := "", make([]byte, 4096) // first comes the echo of what was typed
	for !strings.Contains(shown, "of 1.0 MB") {
		n, err := keyboard.Read(piece)
		if err != nil {
			t.Fatalf("%q, %v", shown, err)
		}
		shown += string(piece[:n])
	}
}

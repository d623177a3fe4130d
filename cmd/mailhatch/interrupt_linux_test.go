package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mailhatch/cmd/mailhatch/terminal/terminaltest"
)

// shows waits until a text has come.
type shows struct {
	want string
	seen strings.Builder
	done chan struct{}
}

func (s *shows) Write(p []byte) (int, error) {
	before := strings.Contains(s.seen.String(), s.want)
	s.seen.Write(p)
	if !before && strings.Contains(s.seen.String(), s.want) {
		close(s.done)
	}
	return len(p), nil
}

// TestInterrupt: Ctrl-C ends the commands that ask a person, at any question. The terminal shows again what is typed.
func TestInterrupt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	for _, c := range []struct {
		typed, question string
		args            []string
	}{
		{"", "Which provider", []string{"init", "--output", path}},
		{"resend\n\n", "API key", []string{"init", "--output", path}},
		{"", "password (not shown)", []string{"hash-password"}},
		{"hidden\n", "once more", []string{"hash-password"}},
	} {
		keyboard, tty := terminaltest.Open(t)
		if _, err := keyboard.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		questions := &shows{want: c.question, done: make(chan struct{})}
		ctx, interrupt := context.WithCancel(t.Context())
		a := &app{stdin: tty, stdout: io.Discard, stderr: questions}
		code := make(chan int, 1)
		go func() { code <- a.main(ctx, c.args) }()
		<-questions.done
		interrupt()
		if got := <-code; got != interruptedCode || !strings.Contains(questions.seen.String(), "mailhatch: interrupted") {
			t.Errorf("%q at %q: exit code %d\n%s", c.args, c.question, got, &questions.seen)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%q at %q has written", c.args, c.question)
		}
		mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil || mode.Lflag&unix.ECHO == 0 {
			t.Errorf("%q at %q: the terminal shows no more what is typed (%v)", c.args, c.question, err)
		}
	}
}

// TestPasswordIsNotShown: it is asked for twice, and nothing of it is on the screen.
func TestPasswordIsNotShown(t *testing.T) {
	for _, c := range []struct {
		once, again string
		code        int
	}{{"hidden pass", "hidden pass", 0}, {"hidden pass", "hidden past", 1}} {
		keyboard, tty := terminaltest.Open(t)
		first := &shows{want: "not shown", done: make(chan struct{})}
		var out bytes.Buffer
		a := &app{stdin: tty, stdout: &out, stderr: first}
		code := make(chan int, 1)
		go func() { code <- a.main(t.Context(), []string{"hash-password"}) }()
		<-first.done
		if _, err := keyboard.WriteString(c.once + "\n" + c.again + "\n"); err != nil {
			t.Fatal(err)
		}
		if got := <-code; got != c.code || (c.code == 0) != strings.HasPrefix(out.String(), "$2a$10$") {
			t.Errorf("%q, %q: exit code %d, %q\n%s", c.once, c.again, got, &out, &first.seen)
		}
		if _, err := tty.WriteString("end\n"); err != nil {
			t.Fatal(err)
		}
		shown := make([]byte, 4096)
		n, err := keyboard.Read(shown)
		if err != nil || strings.Contains(string(shown[:n])+first.seen.String(), "hidden") {
			t.Errorf("%v: the terminal shows %q", err, shown[:n])
		}
	}
}

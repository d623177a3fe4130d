package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/cmd/mailhatch/terminal/terminaltest"
	"mailhatch/test/freeport"
)

// hostileMail has what controls terminals, plain and encoded, in its header, its text and the name of a file.
const hostileMail = "From: =?utf-8?q?=1B]0;owned=07_=E2=80=AE?= <app@example.com>\r\nSubject: =?utf-8?q?=1B[2J_=C2=9B_=E2=80=AE_=E2=80=A8?=\r\n" +
	"X-Raw: \x1b[31m\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\x1b]52;c;ZXZpbA==\x07 \u009b2J \u202egnp.exe\u2028 \xff\r\n"

// TestHostileMailOnTerminal shows a hostile message in all commands: nothing of it reaches a terminal as it is, and in a
// pipe every byte is kept.
func TestHostileMailOnTerminal(t *testing.T) {
	file := serveHeld(t)
	var m struct{ ID string }
	if err := json.Unmarshal([]byte(piped(t, "queue", "list", "--json", "-c", file)), &m); err != nil {
		t.Fatal(err)
	}
	message := filepath.Join(filepath.Dir(file), "message.eml")
	if err := os.WriteFile(message, []byte(hostileMail), 0o600); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(hostileMail, "\r\n\r\n")
	if got := piped(t, "queue", "cat", m.ID, "-c", file); !strings.HasSuffix(got, body) || !strings.Contains(got, "X-Raw: \x1b[31m\r\n") {
		t.Errorf("cat changes a byte in a pipe: %q", got)
	}
	for _, args := range [][]string{
		{"queue", "list"}, {"queue", "list", "--json"}, {"queue", "show", m.ID}, {"queue", "show", "--json", m.ID}, {"queue", "cat", m.ID},
		{"log"}, {"log", "--json"}, {"status"}, {"route", message}, {"route", "--json", message},
		{"render", "--upstream", "shown", message}, {"render", "--upstream", "api", message}, {"queue", "show", "\x1b[2J\u202e"}, {"\x1b[2J"},
	} {
		if args[0] == "route" || args[0] == "render" {
			args = append(args, "--to", "a@example.org")
		}
		got := onTerminal(t, append(args, "-c", file)...)
		if i := strings.IndexFunc(strings.ReplaceAll(got, "\r\n", "\n"), func(r rune) bool {
			return r < ' ' && r != '\n' && r != '\t' || strings.ContainsRune("\x7f\u009b\u202e\u2028", r)
		}); i >= 0 || got == "" {
			t.Errorf("%q: %q", args, got)
		}
	}
}

// serveHeld starts the program, has it hold a hostile message, and returns its config.
func serveHeld(t *testing.T) (file string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr := freeport.Addr(t)
	file = filepath.Join(dir, "config.toml")
	config := fmt.Sprintf("state_dir = %q\n[[listener]]\naddress = %q\n[upstream.shown]\ntype = \"console\"\nfull = true\n[upstream.api]\ntype = \"mailgun\"\n"+
		"api_key = \"key\"\ndomain = \"example.com\"\n[[route]]\nhold = true\n[admin]\naddress = \"off\"\n", filepath.Join(dir, "state"), addr)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := ownProgram(t, "serve", "-c", file)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if err := smtp.SendMail(addr, nil, "app@example.com", []string{"a@example.org"}, []byte(hostileMail)); err != nil {
		t.Fatal(err)
	}
	return file
}

// ownProgram is the program with arguments; its name tells TestMain.
func ownProgram(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Args = append([]string{"mailhatch"}, args...)
	return cmd
}

func piped(t *testing.T, args ...string) string {
	t.Helper()
	out, err := ownProgram(t, args...).Output()
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return string(out)
}

// onTerminal returns what a command writes to a terminal, errors included.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	far, tty := terminaltest.Open(t)
	cmd := ownProgram(t, args...)
	cmd.Stdout, cmd.Stderr = tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close() // the far end then ends with the program
	out, _ := io.ReadAll(far)
	_ = cmd.Wait() // some fail
	return string(out)
}

//go:build unix

package main

import (
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailhatch/test/freeport"
)

// TestLogReaderStalled has a program that reads neither the log nor what the console upstream shows: 200 mails,
// whose lines are more than a pipe holds, are answered with 250 all the same, and the program ends when it is asked to.
func TestLogReaderStalled(t *testing.T) {
	_, addr, cmd := servePiped(t)
	start := time.Now()
	sendMany(t, addr, 200)
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("200 mails took %v", d)
	}
	endPiped(t, cmd)
}

// TestLogReaderGone has a program that ends while it reads the log.
func TestLogReaderGone(t *testing.T) {
	reader, addr, cmd := servePiped(t)
	sendMany(t, addr, 1)
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	sendMany(t, addr, 20)
	endPiped(t, cmd)
}

// servePiped starts the program with its output in a pipe.
func servePiped(t *testing.T) (reader *os.File, addr string, cmd *exec.Cmd) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr = freeport.Addr(t)
	config := fmt.Sprintf("state_dir = %q\nshutdown_timeout = \"1s\"\n[[listener]]\naddress = %q\n[upstream.shown]\ntype = \"console\"\n"+
		"[[route]]\nvia = [\"shown\"]\n[admin]\naddress = \"off\"\n", filepath.Join(dir, "state"), addr)
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	reader, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	cmd = exec.Command(exe)
	cmd.Args = []string{"mailhatch", "serve", "-c", file}
	cmd.Stdout, cmd.Stderr = pipe, pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return reader, addr, cmd
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// sendMany sends n mails, by four clients at once.
func sendMany(t *testing.T, addr string, n int) {
	t.Helper()
	failed := make(chan error)
	clients := min(n, 4)
	for range clients {
		go func() {
			for range n / clients {
				if err := sendLong(addr); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range clients {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

// sendLong sends a mail that makes a long line in the log.
func sendLong(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	client, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return err
	}
	var to []string
	for i := range 10 {
		to = append(to, fmt.Sprintf("%s%d@example.org", strings.Repeat("n", 60), i))
	}
	return errors.Join(crashSend(client, "long", to, 100), client.Quit())
}

// endPiped asks the program to stop.
func endPiped(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program ended with: %v", err)
	}
}

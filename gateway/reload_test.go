package gateway

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/test/freeport"
)

// reloadConfig has the listeners and tables that a test changes.
func (h *house) reloadConfig(listeners, rest string) {
	h.write(listeners + "[upstream.main]\ntype = \"memory\"\n[[route]]\nvia = [\"main\"]\n" + rest)
}

// hello connects and gives the greeting.
func hello(t *testing.T, address string) (net.Conn, string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return c, line
}

func isRefused(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		_ = c.Close()
	}
	return err != nil
}

func listener(address, more string) string {
	return fmt.Sprintf("[[listener]]\naddress = %q\n%s", address, more)
}

// TestReloadListeners: listeners come, change and go with a reload.
func TestReloadListeners(t *testing.T) {
	stays, changes, goes, comes := freeport.Addr(t), freeport.Addr(t), freeport.Addr(t), freeport.Addr(t)
	h := newHouse(t, listener(stays, "")+listener(changes, "idle_timeout = \"30s\"\n")+listener(goes, "")+"[upstream.main]\ntype = \"memory\"\n[[route]]\nvia = [\"main\"]\n")
	kept, _ := hello(t, stays)
	left := dialTalker(t, "tcp", changes)
	left.want("220 ")
	left.talk("EHLO x", "250-")
	left.talk("MAIL FROM:<a@example.com>", "250")
	h.reloadConfig(listener(stays, "")+listener(changes, "max_message = \"2KB\"\nbanner = \"new\"\n")+listener(comes, ""), "")
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, greeting := hello(t, comes); !strings.HasPrefix(greeting, "220 ") {
		t.Errorf("the new one says %q", greeting)
	}
	if _, greeting := hello(t, changes); !strings.Contains(greeting, "new") {
		t.Errorf("the changed one says %q", greeting)
	}
	h.await("the end of the removed one", func() bool { return isRefused(goes) })
	left.talk("RCPT TO:<b@example.org>", "250")
	left.talk("DATA", "354")
	left.talk("Subject: begun before\r\n\r\ntext\r\n.", "250")
	left.want("421 4.3.2")
	fmt.Fprint(kept, "EHLO x\r\n")
	if line, err := bufio.NewReader(kept).ReadString('\n'); err != nil || !strings.HasPrefix(line, "250") {
		t.Errorf("a session of the unchanged one gets %q, %v", line, err)
	}
	large := "Subject: x\r\n\r\n" + strings.Repeat("text\r\n", 1000)
	if err := smtp.SendMail(changes, nil, "a@example.com", []string{"b@example.org"}, []byte(large)); err == nil || !strings.HasPrefix(err.Error(), "552") {
		t.Errorf("the new limit does not hold: %v", err)
	}
	if n := len(h.g.Addrs()); n != 3 {
		t.Errorf("%d addresses", n)
	}
}

// TestReloadThatCannotBind: a reload is made whole or not at all.
func TestReloadThatCannotBind(t *testing.T) {
	h, fake := resendHouse(t, "")
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	fresh := freeport.Addr(t)
	h.reloadConfig(listener(fresh, "")+listener(other.Addr().String(), ""), "")
	err = h.g.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "listener "+other.Addr().String()) {
		t.Errorf("got %v", err)
	}
	if !isRefused(fresh) {
		t.Error("a part of the config that was refused holds")
	}
	if !strings.Contains(h.log.String(), "reload_refused") {
		t.Error("the journal does not know")
	}
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("mail by the old config", func() bool { return len(fake.Accepted()) == 1 })

	h.adminAddr = other.Addr().String()
	h.reloadConfig(listener(h.addr, "")+listener(fresh, ""), "")
	if err := h.g.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "admin") || !isRefused(fresh) {
		t.Errorf("got %v", err)
	}
}

// TestReloadOfNames: hostname and [admin] follow; what cannot is reported.
func TestReloadOfNames(t *testing.T) {
	h := newHouse(t, "[upstream.main]\ntype = \"memory\"\n[[route]]\nvia = [\"main\"]\n")
	was := freeport.Addr(t)
	h.adminAddr = was
	h.reloadConfig("", "")
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready := func(address string) bool {
		resp, err := http.Get("http://" + address + "/healthz")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == 200
	}
	if !ready(was) {
		t.Error("the admin server does not answer where it was switched on")
	}
	h.adminAddr = freeport.Addr(t)
	h.reloadConfig("", "")
	text := strings.Replace(readFile(t, h.file), "gw.example.com", "new.example.com", 1)
	text = strings.Replace(text, "/state\"", "/elsewhere\"", 1)
	writeFile(t, h.file, text)
	notes, err := h.g.reloadNotes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !ready(h.adminAddr) {
		t.Error("the admin server does not answer at its new address")
	}
	h.await("the end of the old address", func() bool { return isRefused(was) })
	if _, greeting := hello(t, h.addr); !strings.HasPrefix(greeting, "220 new.example.com") {
		t.Errorf("greeting %q", greeting)
	}
	if len(notes) == 0 || !strings.Contains(notes[0], "state_dir changed") || !strings.Contains(h.log.String(), "needs a restart") {
		t.Errorf("notes %q", notes)
	}
	if dir := h.g.current.Load().StateDir; filepath.Base(dir) != "state" {
		t.Errorf("it goes on in %s", dir)
	}
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
}

// TestReloadTurnsNobodyAway: while its server is exchanged, an address takes every client.
func TestReloadTurnsNobodyAway(t *testing.T) {
	h := newHouse(t, "[upstream.main]\ntype = \"memory\"\n[[route]]\nvia = [\"main\"]\n")
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				c, err := net.Dial("tcp", h.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				line, err := bufio.NewReader(c).ReadString('\n')
				_ = c.Close()
				if err != nil || !strings.HasPrefix(line, "220 ") {
					t.Errorf("%q, %v", line, err)
				}
			}
		})
	}
	for n := range 20 {
		h.reloadConfig(listener(h.addr, fmt.Sprintf("max_recipients = %d\n", 100+n)), "")
		if err := h.g.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReloadOfAUnixSocket: the socket stays, its permissions change.
func TestReloadOfAUnixSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: sockets have no permissions on Windows")
	}
	path := filepath.Join(shortDir(t), "s")
	h := newHouse(t, listener(freeport.Addr(t), "")+listener("unix:"+path, "socket_mode = \"0660\"\n")+"[upstream.main]\ntype = \"memory\"\n[[route]]\nvia = [\"main\"]\n")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	h.reloadConfig(listener(h.addr, "")+listener("unix:"+path, "socket_mode = \"0600\"\n"), "")
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) || before.Mode().Perm() != 0o660 || after.Mode().Perm() != 0o600 {
		t.Errorf("before %v, after %v, %v", before.Mode(), after.Mode(), err)
	}
	c, err := net.DialTimeout("unix", path, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

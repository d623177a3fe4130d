package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
)

// submitTo hands a message over at a socket.
func submitTo(path, from, to, msg string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Mail(from), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(msg)); err != nil {
		return err
	}
	return w.Close()
}

// me is how the gateway names the account that runs the tests.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return "uid:" + u.Username
}

const heldRoute = "[upstream.main]\ntype = \"memory\"\n[[route]]\nto = [\"no@*\"]\nreject = \"550 not there\"\n[[route]]\nhold = true\n"

func TestSubmissionSocket(t *testing.T) {
	h := newHouse(t, heldRoute)
	path := filepath.Join(h.cfg.RunDir, config.SubmitSocket)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o666 && os.Getuid() >= 0 {
		t.Fatalf("%s: mode %v, %v", path, info.Mode(), err)
	}
	if err := submitTo(path, "me", "root", "Subject: hi\r\n\r\nhello\r\n"); err != nil {
		t.Fatal(err)
	}
	held := heldMail(h)
	if len(held) != 1 {
		t.Fatalf("%d messages are held", len(held))
	}
	env := held[0].Envelope
	if env.Client.Listener != config.SubmitName || env.From != "me@gw.example.com" || env.To[0].Address != "root@gw.example.com" {
		t.Errorf("envelope %+v", env)
	}
	if got := peerNameKnown(env.Client.User, me(t)); got != "" {
		t.Error(got)
	}
	if err := submitTo(path, "me", "no@example.org", "\r\n"); err == nil || !strings.HasPrefix(err.Error(), "550") {
		t.Errorf("a recipient that the routes refuse: %v", err)
	}
	if n := len(h.g.Addrs()); n != 1 {
		t.Errorf("%d addresses: the socket is none of the config's listeners", n)
	}
}

func heldMail(h *house) []queue.Message {
	h.t.Helper()
	list, err := h.g.queue.List(h.t.Context(), queue.Filter{State: envelope.Held}, queue.Page{})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

// peerNameKnown allows for systems that know no peer credentials.
func peerNameKnown(got, want string) string {
	if got == want || got == "" {
		return ""
	}
	return fmt.Sprintf("user %q, want %q", got, want)
}

func TestSubmissionSocketCannotBeMade(t *testing.T) {
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, runDir := range map[string]string{"a file": inTheWay, "too long": filepath.Join(t.TempDir(), strings.Repeat("long", 30))} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, fmt.Sprintf("run_dir = %q\n[[listener]]\naddress = \"ADDR\"\n%s", runDir, heldRoute))
			h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			if !strings.Contains(h.log.String(), "where=submit") {
				t.Errorf("it is not logged:\n%s", h.log)
			}
		})
	}
}

func TestMaildropIsPickedUp(t *testing.T) {
	h := newHouse(t, heldRoute)
	drop := filepath.Join(h.cfg.StateDir, maildrop.DirName)
	leave := func(from, to string) {
		t.Helper()
		const msg = "Subject: left\r\n\r\nhello\r\n"
		err := maildrop.Write(drop, &envelope.Envelope{From: from, To: []envelope.Recipient{{Address: to}}}, int64(len(msg)), strings.NewReader(msg))
		if errors.Is(err, maildrop.ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h.await("the maildrop", func() bool { _, err := os.Stat(drop); return err == nil })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	leave("me", "root")
	leave("me", "no@example.org")
	leave("", "no@example.org")
	leave("me", "a@b@c")
	leave("a@b@c", "root")
	h.start()
	h.await("the message and the bounces", func() bool { return len(h.waiting(envelope.Held)) == 3 })
	for _, m := range heldMail(h) {
		env := m.Envelope
		if env.From == "" {
			if env.To[0].Address != "me@gw.example.com" {
				t.Errorf("the bounce goes to %+v", env.To)
			}
			continue
		}
		if env.Client.User != me(t) || env.Client.Listener != config.SubmitName || time.Since(env.Received) > time.Hour || env.To[0].Address != "root@gw.example.com" {
			t.Errorf("envelope %+v", env)
		}
	}
	h.await("the failed ones", func() bool { return len(h.waiting(envelope.Failed)) == 3 })
	h.await("the one that is put aside", func() bool {
		aside, err := os.ReadDir(drop + "-refused")
		return err == nil && len(aside) == 1 && strings.Contains(h.log.String(), "where=maildrop")
	})
	h.await("the empty maildrop", func() bool { left, err := os.ReadDir(drop); return err == nil && len(left) == 0 })
}

func TestMaildropCannotBeMade(t *testing.T) {
	h := newHouse(t, heldRoute)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	drop := filepath.Join(h.cfg.StateDir, maildrop.DirName)
	if err := os.RemoveAll(drop); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(drop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.await("the log line", func() bool { return strings.Contains(h.log.String(), "where=maildrop") })
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
}

func TestMaildropGoneWhileRunning(t *testing.T) {
	h := newHouse(t, heldRoute)
	drop := filepath.Join(h.cfg.StateDir, maildrop.DirName)
	h.await("the maildrop", func() bool { _, err := os.Stat(drop); return err == nil })
	if err := os.RemoveAll(drop); err != nil {
		t.Fatal(err)
	}
	h.await("the log line", func() bool { return strings.Contains(h.log.String(), "where=maildrop") })
}

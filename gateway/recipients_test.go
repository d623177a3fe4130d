package gateway

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
)

const hundred = "[[listener]]\naddress = \"ADDR\"\nmax_recipients = 100\n" + heldRoute

// max_recipients holds on the submission socket too.
func TestRecipientsOfSubmission(t *testing.T) {
	h := newHouse(t, hundred)
	path := filepath.Join(h.cfg.RunDir, config.SubmitSocket)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := newTalker(t, conn)
	p.want("220")
	p.talk("EHLO me", "250", "MAIL FROM:<a@example.com>", "250")
	for i := range 100 {
		p.talk(fmt.Sprintf("RCPT TO:<r%d@example.org>", i), "250")
	}
	p.talk("RCPT TO:<more@example.org>", "452 4.5.3", "DATA", "354", "a: b\r\n.", "250")
}

// A file of the maildrop with too many recipients becomes several messages, between which another account
// has its turn.
func TestMaildropOfTwoAccounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it leaves a file of another account")
	}
	const nobody, recipients = 65534, 1050
	h := newHouse(t, hundred)
	drop := filepath.Join(h.cfg.StateDir, maildrop.DirName)
	h.await("the maildrop", func() bool { _, err := os.Stat(drop); return err == nil })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	leave := func(n int) (path string) {
		t.Helper()
		env := &envelope.Envelope{From: "me"}
		for i := range n {
			env.To = append(env.To, envelope.Recipient{Address: fmt.Sprintf("r%d@example.org", i)})
		}
		const msg = "Subject: left\r\n\r\nhello\r\n"
		if err := maildrop.Write(drop, env, int64(len(msg)), strings.NewReader(msg)); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(drop)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(drop, files[0].Name())
	}
	if err := os.Chown(leave(1), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	leave(recipients)
	entries, _ := os.ReadDir(drop)
	for _, e := range entries { // the large one is older
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 1000 {
			if err := os.Chtimes(filepath.Join(drop, e.Name()), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.start()
	h.await("all recipients", func() bool {
		n := 0
		for _, m := range heldMail(h) {
			n += len(m.Envelope.To)
		}
		return n == recipients+1
	})
	var small, last time.Time
	seen := map[string]bool{}
	for _, m := range heldMail(h) {
		env := m.Envelope
		if env.Client.User == envelope.AccountUser(nobody) {
			small = env.Received
			continue
		}
		if len(env.To) > 100 {
			t.Errorf("a message has %d recipients", len(env.To))
		}
		for _, r := range env.To {
			seen[r.Address] = true
		}
		if env.Received.After(last) {
			last = env.Received
		}
	}
	if len(seen) != recipients || small.IsZero() || !small.Before(last) {
		t.Errorf("%d recipients; the other account's message came at %v, the last of the large one at %v", len(seen), small, last)
	}
}

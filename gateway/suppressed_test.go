package gateway

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
)

const suppressedMail = "From: app@example.com\nSubject: news\n\nhello\n"

func (h *house) suppress(entries ...queue.Suppression) {
	h.t.Helper()
	for i := range entries {
		entries[i].At = time.Now()
	}
	if _, err := h.g.queue.Suppress(h.t.Context(), entries...); err != nil {
		h.t.Fatal(err)
	}
}

// wantRefusal sends mail that is to be refused with a reply that has these words.
func (h *house) wantRefusal(from, to, words string) {
	h.t.Helper()
	if err := h.send(from, []string{to}, suppressedMail); err == nil || !strings.Contains(err.Error(), words) {
		h.t.Errorf("mail from %s to %s: %v, want %q", from, to, err, words)
	}
}

// TestSuppressedAtTheDoor: a client that names a suppressed address learns so at once, unless a route sends regardless.
func TestSuppressedAtTheDoor(t *testing.T) {
	h := newHouse(t, `
[upstream.out]
type = "memory"
[[rewrite]]
from = "new@example.com"
set_envelope_from = "news@example.net"
[[route]]
from = "password@*"
via = ["out"]
suppression = false
[[route]]
to = "noise@*"
discard = true
[[route]]
header = { "X-Class" = "late" }
hold = true
[[route]]
via = ["out"]
[aliases]
boss = ["gone@example.org"]
team = ["gone@example.org", "here@example.org"]
[identity]
domain = "example.com"
`)
	h.suppress(queue.Suppression{Address: "Gone@example.org", Domain: "example.com", Reason: queue.ReasonBounced, Words: "550 5.1.1 who?"},
		queue.Suppression{Address: "angry@example.org", Reason: queue.ReasonComplained},
		queue.Suppression{Address: "noise@example.org", Reason: queue.ReasonManual},
		queue.Suppression{Address: "net@example.org", Domain: "example.net", Reason: queue.ReasonManual})
	const bounced = "5.1.1 gone@example.org has been suppressed since"
	// The rule that asks for a field lets nothing be decided before the header: then the reply comes after the mail.
	h.wantRefusal("app@example.com", "gone@example.org", bounced)
	h.wantRefusal("app@Example.com", "GONE@example.org", "mail to it bounced (550 5.1.1 who?)")
	h.wantRefusal("app", "boss", bounced)
	h.wantRefusal("any@example.net", "angry@example.org", "5.7.1 angry@example.org has been suppressed since")
	h.wantRefusal("new@example.com", "net@example.org", "5.7.1 net@example.org")
	h.mustSend("app@example.net", []string{"gone@example.org"}, suppressedMail)
	h.mustSend("new@example.com", []string{"gone@example.org"}, suppressedMail)
	h.mustSend("password@example.com", []string{"angry@example.org"}, suppressedMail)
	h.mustSend("app@example.com", []string{"noise@example.org"}, suppressedMail)
	h.await("what is not suppressed", func() bool { return len(h.ended(envelope.Sent)) == 3 })
	h.mustSend("app@example.com", []string{"team", "angry@example.org"}, suppressedMail)
	h.await("the bounces", func() bool { return strings.Count(h.log.String(), "msg=bounced") == 2 })
	for _, p := range h.waiting(envelope.Failed) {
		if r := p.To[0].Address; r != "gone@example.org" && r != "angry@example.org" || !strings.Contains(p.Progress.Error, "has been suppressed since") {
			t.Errorf("%s failed: %s", r, p.Progress.Error)
		}
	}
	if _, err := h.g.queue.Lift(t.Context(), queue.AnyDomain, "gone@example.org"); err != nil {
		t.Fatal(err)
	}
	h.mustSend("app@example.com", []string{"boss"}, suppressedMail)
}

// TestSuppressedAtRcpt: where the envelope alone decides, the refusal comes before the mail.
func TestSuppressedAtRcpt(t *testing.T) {
	h := newHouse(t, "[upstream.out]\ntype = \"memory\"\n[[route]]\nfrom = \"password@*\"\nvia = [\"out\"]\nsuppression = false\n"+
		"[[route]]\nvia = [\"out\"]\n")
	h.suppress(queue.Suppression{Address: "gone@example.org", Domain: "example.com", Reason: queue.ReasonBounced})
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := newTalker(t, conn)
	p.want("220")
	p.talk("EHLO me", "250", "MAIL FROM:<app@example.com>", "250", "RCPT TO:<gone@example.org>", "550 5.1.1", "RCPT TO:<here@example.org>", "250", "RSET", "250",
		"MAIL FROM:<password@example.com>", "250", "RCPT TO:<gone@example.org>", "250", "RSET", "250", "MAIL FROM:<>", "250", "RCPT TO:<gone@example.org>", "250")
}

// TestSuppressedLate: where nobody waits for an answer any more, the recipient is bounced: out of the maildrop, and when the
// address came onto the list after the mail was accepted.
func TestSuppressedLate(t *testing.T) {
	h := newHouse(t, heldRoute)
	h.mustSend("app@example.com", []string{"gone@example.org"}, suppressedMail)
	h.suppress(queue.Suppression{Address: "gone@example.org", Reason: queue.ReasonBounced, Words: "550 no mailbox"})
	drop := filepath.Join(h.cfg.StateDir, maildrop.DirName)
	h.await("the maildrop", func() bool { _, err := os.Stat(drop); return err == nil })
	const msg = "Subject: left\r\n\r\nhello\r\n"
	env := &envelope.Envelope{From: "me@example.com", To: []envelope.Recipient{{Address: "gone@example.org"}}}
	if err := maildrop.Write(drop, env, int64(len(msg)), strings.NewReader(msg)); err != nil {
		t.Fatal(err)
	}
	h.write("[upstream.out]\ntype = \"memory\"\n[[route]]\nvia = [\"out\"]\n")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h.start()
	if _, err := h.g.queue.Release(t.Context(), queue.Filter{}, "root"); err != nil {
		t.Fatal(err)
	}
	h.await("both bounces", func() bool { return len(h.ended(envelope.Sent)) == 2 })
	h.await("both failures", func() bool { return len(h.waiting(envelope.Failed)) == 2 }) // a bounce is on its way before
	if failed := h.waiting(envelope.Failed); !strings.Contains(failed[0].Progress.Error, "mail to it bounced (550 no mailbox)") {
		t.Errorf("failed: %+v", failed)
	}
	if list := h.ended(envelope.Sent); list[0] != "app@example.com" || list[1] != "me@example.com" {
		t.Errorf("bounces went to %q", list)
	}
}

// TestSuppressedAgain: a person who sends a message again does not pass over the list either, whichever way it would go.
func TestSuppressedAgain(t *testing.T) {
	h := newHouse(t, "[upstream.out]\ntype = \"memory\"\n[[route]]\nvia = [\"out\"]\n[queue]\nkeep_bodies = \"1h\"\n")
	h.mustSend("app@example.com", []string{"gone@example.org", "here@example.org"}, suppressedMail)
	h.await("the mail", func() bool { return len(h.ended(envelope.Sent)) == 2 })
	kept, _ := h.g.memory("out")
	h.suppress(queue.Suppression{Address: "gone@example.org", Reason: queue.ReasonBounced})
	for _, via := range []string{"", "out"} {
		if _, err := h.g.resend(t.Context(), kept[0].ID, api.Resend{To: []string{"gone@example.org"}, Via: via}, "root"); err == nil || !strings.Contains(err.Error(), "has been suppressed since") {
			t.Errorf("again via %q: %v", via, err)
		}
		if _, err := h.g.resend(t.Context(), kept[0].ID, api.Resend{To: []string{"here@example.org"}, Via: via}, "root"); err != nil {
			t.Errorf("to another via %q: %v", via, err)
		}
	}
}

package gateway

import (
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/test/freeport"
	"mailhatch/upstream/upstreamtest"
)

// dialog sends plainMail with commands that net/smtp cannot make.
func (h *house) dialog(commands ...string) {
	h.t.Helper()
	c, err := textproto.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	expect := func(code int, format string, args ...any) {
		if format != "" {
			if err := c.PrintfLine(format, args...); err != nil {
				h.t.Fatal(err)
			}
		}
		if _, words, err := c.ReadResponse(code); err != nil {
			h.t.Fatalf("%s: %v %s", format, err, words)
		}
	}
	expect(220, "")
	expect(250, "EHLO test.example")
	for _, command := range commands {
		expect(250, "%s", command)
	}
	expect(354, "DATA")
	w := c.DotWriter()
	fmt.Fprint(w, strings.ReplaceAll(plainMail, "\n", "\r\n"))
	if err := w.Close(); err != nil {
		h.t.Fatal(err)
	}
	expect(250, "")
}

// A bounce that the routes refuse ends there; it is not tried for ever, nor is its mail.
func TestBounceWithoutARoute(t *testing.T) {
	fake := upstreamtest.NewResend("k")
	t.Cleanup(fake.Close)
	h := newHouse(t, fmt.Sprintf("[upstream.main]\ntype = \"resend\"\napi_key = \"k\"\nbase_url = %q\n[[route]]\nfrom = [\"*@example.com\"]\nvia = [\"main\"]\n", fake.URL))
	fake.Script(upstreamtest.Fault{Status: 422, Body: `{"statusCode":422,"name":"validation_error","message":"no such thing"}`})
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the failed mail", func() bool { return len(h.waiting(envelope.Failed)) == 1 })
	if fake.Requests() != 1 || !strings.Contains(h.log.String(), "no route for this sender") {
		t.Errorf("%d requests, log:\n%s", fake.Requests(), h.log)
	}
}

// A bounce that cannot be delivered makes no other.
func TestBouncesAreNotBounced(t *testing.T) {
	h, fake := resendHouse(t, "")
	fake.Script(upstreamtest.Times(2, upstreamtest.Fault{Status: 422, Body: `{"statusCode":422,"name":"validation_error","message":"no such thing"}`})...)
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("two failures", func() bool { return len(h.waiting(envelope.Failed)) == 2 })
	if n := fake.Requests(); n != 2 {
		t.Errorf("%d requests, want the mail and its bounce", n)
	}
	h.await("the line of the bounce", func() bool { return strings.Contains(h.log.String(), "msg=bounced") })
	if n := strings.Count(h.log.String(), "msg=bounced"); n != 1 {
		t.Errorf("%d bounces", n)
	}
}

// A recipient that a rule refuses when others are taken is bounced, for SMTP has no reply for that.
func TestMixedRefusalIsBounced(t *testing.T) {
	fake := upstreamtest.NewResend("k")
	t.Cleanup(fake.Close)
	h := newHouse(t, fmt.Sprintf(`
[upstream.main]
type = "resend"
api_key = "k"
base_url = %q
[[route]]
to = ["no@*"]
subject = ["hi"]
reject = "554 5.7.7 not with this subject"
[[route]]
via = ["main"]
`, fake.URL))
	h.mustSend("x@example.com", []string{"no@example.org", "a@example.org"}, plainMail)
	h.sentRecord("a@example.org")
	h.sentRecord("x@example.com")
	if n := deliveries(fake, "no@example.org"); n != 0 {
		t.Errorf("%d deliveries to a refused recipient", n)
	}
	h.await("the failed mail", func() bool { return len(h.waiting(envelope.Failed)) == 1 })
	p := h.waiting(envelope.Failed)
	if p[0].To[0].Address != "no@example.org" || p[0].Progress.Status != 554 || p[0].Progress.Enhanced != "5.7.7" {
		t.Errorf("failed: %+v", p)
	}
	for _, m := range fake.Accepted() { // the mail and the bounce, in any order
		if slices.Contains(m.Recipients, "x@example.com") && !strings.Contains(m.Text, "not with this subject") {
			t.Errorf("bounce:\n%s", m.Text)
		}
	}
}

// With the reserve of the disk touched, new mail is refused for the time being and old mail goes on.
func TestMinFree(t *testing.T) {
	block := make(chan struct{})
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(step upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		if step.Stage == upstreamtest.SMTPGreeting {
			<-block
		}
		return upstreamtest.SMTPReaction{}
	}})
	dir := smallDisk(t, "32m")
	h := &house{t: t, addr: freeport.Addr(t), log: &lines{}, file: filepath.Join(dir, "config.toml")}
	config := relayConfig(relay, "tls = \"none\"\n")
	h.write(strings.Replace(config, "[queue]\n", "[queue]\nmin_free = \"8MB\"\n", 1))
	h.start()
	t.Cleanup(func() { _ = h.stop() })
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 25<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	h.await("a refusal", func() bool {
		err := h.send("x@example.com", []string{"b@example.org"}, plainMail)
		return err != nil && strings.HasPrefix(err.Error(), "452 ")
	})
	before := len(h.waiting(envelope.Queued))
	close(block)
	h.sentRecord("a@example.org")
	h.await("an empty queue", func() bool { return len(h.waiting(envelope.Queued)) == 0 })
	if before == 0 {
		t.Error("nothing was queued when the disk was full")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // how long a look at the disk is believed
	h.mustSend("x@example.com", []string{"c@example.org"}, plainMail)
	h.sentRecord("c@example.org")
}

package smtp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

func TestSMTPRender(t *testing.T) {
	s := &settings{Host: "mx.example.com", Username: "u", Password: upstream.NewSecret("hunter2")}
	opened, err := s.Open(upstream.Env{Hostname: "gw.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	u := opened.(*relay)
	m := upstreamtest.NewMail(t, "Bcc: hidden@x\r\nSubject: x\r\n\r\n.dot\r\n", "b@x", "bad one@x")
	m.To[0].Notify = []string{"NEVER"}
	var b bytes.Buffer
	if err := u.Render(m, &b); err != nil {
		t.Fatal(err)
	}
	const want = `# mx.example.com:587, tls = "starttls", a relay with PIPELINING SIZE 8BITMIME SMTPUTF8 DSN
EHLO gw.example.com
STARTTLS
EHLO gw.example.com
AUTH PLAIN ***
# not sent to "bad one@x": the address "bad one@x" has a malformed local part
MAIL FROM:<a@example.com> SIZE=20
RCPT TO:<b@x> NOTIFY=NEVER
DATA
`
	if b.String() != want+"Subject: x\r\n\r\n..dot\r\n.\r\n" {
		t.Errorf("%s", b.String())
	}
	if err := u.Render(upstreamtest.NewMail(t, upstreamtest.PlainMessage), io.Discard); err == nil {
		t.Error("rendered for no one")
	}
	if err := u.Render(upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a b@x"), io.Discard); err == nil {
		t.Error("rendered for a bad address")
	}
	if err := u.Render(m, upstreamtest.FailingWriter{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

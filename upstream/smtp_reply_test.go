package upstream

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

func TestSMTPReplyClasses(t *testing.T) {
	for _, test := range []struct {
		phase smtpPhase
		reply string
		want  string
	}{
		{smtpAtMail, "421 4.7.28 Our system has detected an unusual rate", "throttled 421 4.7.28"},
		{smtpAtMail, "450 4.7.1 Error: too much mail from 192.0.2.1", "throttled 450 4.7.1"},
		{smtpAtMail, "451 4.7.500 Server busy", "temporary 451 4.7.500"},
		{smtpAtMail, "452 4.3.1 Insufficient system storage", "temporary 452 4.3.1 ailing"},
		{smtpAtMail, "452 no space left", "temporary 452 ailing"},
		{smtpAtMail, "452 4.3.4 too big for now", "temporary 452 4.3.4"},
		{smtpAtMail, "451 4.7.1 greylisted", "temporary 451 4.7.1"},
		{smtpAtData, "451 4.3.5 configuration error", "temporary 451 4.3.5 ailing"},
		{smtpAtDot, "451 4.3.0 queue file write error", "temporary 451 4.3.0 ailing"},
		{smtpAtDot, "452 try later", "temporary 452"},
		{smtpAtRcpt, "451 4.3.0 temporary lookup failure", "temporary 451 4.3.0"},
		{smtpAtRcpt, "450 4.2.1 The user is receiving mail at a rate limit", "temporary 450 4.2.1"},
		{smtpAtRcpt, "452 4.2.2 mailbox quota exceeded", "temporary 452 4.2.2"},
		{smtpAtRcpt, "452 4.5.3 Too many recipients", "temporary 452 4.5.3"},
		{smtpAtRcpt, "552 too many recipients", "temporary 552"},
		{smtpAtRcpt, "552 5.2.2 mailbox full", "permanent 552 5.2.2"},
		{smtpAtRcpt, "550 5.1.1 user unknown in relay recipient table, denied", "permanent 550 5.1.1"},
		{smtpAtRcpt, "550 5.2.1 account disabled", "permanent 550 5.2.1"},
		{smtpAtRcpt, "550 account disabled", "permanent 550"},
		{smtpAtRcpt, "530 5.7.1 Authentication required", "account 530 5.7.1"},
		{smtpAtRcpt, "550 relay not permitted", "account 550 sender"},
		{smtpAtRcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen", "account 554 5.7.1"},
		{smtpAtRcpt, "503 5.5.1 bad sequence", "temporary 503 5.5.1"},
		{smtpAtRcpt, "450", "temporary 450"},
		{smtpAtMail, "550 5.7.1 Unable to relay", "account 550 5.7.1"},
		{smtpAtMail, "503 5.5.4 Error: send AUTH first", "account 503 5.5.4"},
		{smtpAtMail, "500 what", "temporary 500"},
		{smtpAtMail, "501 5.1.7 bad sender", "permanent 501 5.1.7"},
		{smtpAtMail, "555 5.5.4 unsupported option", "permanent 555 5.5.4"},
		{smtpAtMail, "554 5.2.0 account suspended", "permanent 554 5.2.0"},
		{smtpAtMail, "550 5.7.0 Account suspended", "account 550 5.7.0"},
		{smtpAtMail, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", "account 550 5.7.60 sender"},
		{smtpAtDot, "554 5.7.1 blocked using url blocklist", "permanent 554 5.7.1"},
		{smtpAtDot, "550 The from address does not match a verified Sender Identity", "account 550 sender"},
		{smtpAtDot, "552 5.3.4 Message size exceeds fixed limit", "permanent 552 5.3.4"},
		{smtpAtDot, "452 4.3.0 quota exceeded", "throttled 452 4.3.0"},
		{smtpAtConnect, "550 5.7.1 banned", "temporary 550 5.7.1 connect"},
		{smtpAtAuth, "535 authentication failed", "account 535"},
		{smtpAtAuth, "432 4.7.12 transition needed", "temporary 432 4.7.12 connect"},
	} {
		code, _, text, ok := smtpReplyLine(test.reply)
		if !ok {
			t.Fatal(test.reply)
		}
		r := smtpReply{code: code}
		r.setText([]string{text})
		if got := describe([]Outcome{{Err: r.failure(test.phase)}})[0]; got != test.want {
			t.Errorf("%d %q: %s, want %s", test.phase, test.reply, got, test.want)
		}
	}
}

func TestSMTPReplyText(t *testing.T) {
	r := smtpReply{code: 550}
	r.setText([]string{"5.1.1 first", "5.1.1 \x1b[31msecond\xff", "5.x.1 third", "4.1.1 fourth"})
	if r.enhanced != "5.1.1" || r.text != "first [31msecond? 5.x.1 third 4.1.1 fourth" {
		t.Errorf("%+v", r)
	}
	r.setText([]string{strings.Repeat("ä", 3000)})
	if len(r.text) > smtpReplyText+3 || !strings.HasSuffix(r.text, "ä…") {
		t.Errorf("%d bytes", len(r.text))
	}
	for text, want := range map[string]string{"": "", " ": "", "a b": "a b", " a": "a", "a ": "a", "a  b": "a b", "a\tb": "a b", "a\x7fb": "a b", "é": "é",
		strings.Repeat("x", smtpReplyText): strings.Repeat("x", smtpReplyText), strings.Repeat("x", smtpReplyText+1): strings.Repeat("x", smtpReplyText) + "…"} {
		if got := smtpClean(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for code, want := range map[string]bool{"2.1.1": true, "4.123.123": true, "2.1": false, "2.1.1.1": false, "2..1": false, "2.1.": false, "3.1.1": false,
		"2.1234.1": false, "2.a.1": false, "25.1.1": false, "": false} {
		if got := smtpIsEnhanced(code); got != want {
			t.Errorf("%q is an enhanced code: %v", code, got)
		}
	}
	for line, ok := range map[string]bool{"250": true, "250-x": true, "25": false, "2x0 a": false, "600 a": false, "250_a": false, "099 a": false} {
		if _, _, _, got := smtpReplyLine(line); got != ok {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestSMTPQueueID(t *testing.T) {
	for text, want := range map[string]string{
		"Ok: queued as 4Zx1.": "4Zx1", "OK id=1abc-00-2": "1abc-00-2", "Ok 0102018f0a1b2c3d-00": "0102018f0a1b2c3d-00",
		"Ok done": "", "accepted": "", "": "", "queued as": "", "OK  1690000 x - gsmtp": "",
	} {
		if got := (smtpReply{text: text}).queueID(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestSMTPRender(t *testing.T) {
	s := &smtpSettings{Host: "mx.example.com", Username: "u", Password: NewSecret("hunter2")}
	opened, err := s.Open(Env{Hostname: "gw.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	u := opened.(*smtpRelay)
	m := smtpMail(t, "Bcc: hidden@x\r\nSubject: x\r\n\r\n.dot\r\n", "b@x", "bad one@x")
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
# not sent to "bad one@x": the address "bad one@x" holds ' ' outside quotes
MAIL FROM:<a@example.com> SIZE=20
RCPT TO:<b@x> NOTIFY=NEVER
DATA
`
	if b.String() != want+"Subject: x\r\n\r\n..dot\r\n.\r\n" {
		t.Errorf("%s", b.String())
	}
	if err := u.Render(smtpMail(t, smtpTestMessage), io.Discard); err == nil {
		t.Error("rendered for no one")
	}
	if err := u.Render(smtpMail(t, smtpTestMessage, "a b@x"), io.Discard); err == nil {
		t.Error("rendered for a bad address")
	}
	if err := u.Render(m, failingWriter{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

package smtp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

func TestSMTPReplyClasses(t *testing.T) {
	for _, test := range []struct {
		phase stage
		reply string
		want  string
	}{
		{atMail, "421 4.7.28 Our system has detected an unusual rate", "throttled 421 4.7.28"},
		{atMail, "450 4.7.1 Error: too much mail from 192.0.2.1", "throttled 450 4.7.1"},
		{atMail, "451 4.7.500 Server busy", "temporary 451 4.7.500"},
		{atMail, "452 4.3.1 Insufficient system storage", "temporary 452 4.3.1 outage"},
		{atMail, "452 no space left", "temporary 452 outage"},
		{atMail, "452 4.3.4 too big for now", "temporary 452 4.3.4"},
		{atMail, "451 4.7.1 greylisted", "temporary 451 4.7.1"},
		{atData, "451 4.3.5 configuration error", "temporary 451 4.3.5 outage"},
		{atDot, "451 4.3.0 queue file write error", "temporary 451 4.3.0 outage"},
		{atDot, "452 try later", "temporary 452"},
		{atRcpt, "451 4.3.0 temporary lookup failure", "temporary 451 4.3.0"},
		{atRcpt, "450 4.2.1 The user is receiving mail at a rate limit", "temporary 450 4.2.1"},
		{atRcpt, "452 4.2.2 mailbox quota exceeded", "temporary 452 4.2.2"},
		{atRcpt, "452 4.5.3 Too many recipients", "temporary 452 4.5.3"},
		{atRcpt, "552 too many recipients", "temporary 552"},
		{atRcpt, "552 5.2.2 mailbox full", "permanent 552 5.2.2"},
		{atRcpt, "550 5.1.1 user unknown in relay recipient table, denied", "permanent 550 5.1.1"},
		{atRcpt, "550 5.2.1 account disabled", "permanent 550 5.2.1"},
		{atRcpt, "550 account disabled", "permanent 550"},
		{atRcpt, "530 5.7.1 Authentication required", "account 530 5.7.1"},
		{atRcpt, "550 relay not permitted", "account 550 sender"},
		{atRcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen", "account 554 5.7.1"},
		{atRcpt, "503 5.5.1 bad sequence", "temporary 503 5.5.1"},
		{atRcpt, "450", "temporary 450"},
		{atMail, "550 5.7.1 Unable to relay", "account 550 5.7.1"},
		{atMail, "503 5.5.4 Error: send AUTH first", "account 503 5.5.4"},
		{atMail, "500 what", "temporary 500"},
		{atMail, "501 5.1.7 bad sender", "permanent 501 5.1.7"},
		{atMail, "555 5.5.4 unsupported option", "permanent 555 5.5.4"},
		{atMail, "554 5.2.0 account suspended", "permanent 554 5.2.0"},
		{atMail, "550 5.7.0 Account suspended", "account 550 5.7.0"},
		{atMail, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", "account 550 5.7.60 sender"},
		{atDot, "554 5.7.1 blocked using url blocklist", "permanent 554 5.7.1"},
		{atDot, "550 The from address does not match a verified Sender Identity", "account 550 sender"},
		{atDot, "552 5.3.4 Message size exceeds fixed limit", "unrepresentable 552 5.3.4"},
		{atMail, "552 too big", "unrepresentable 552"},
		{atDot, "552 5.7.0 blocked because its content presents a risk", "permanent 552 5.7.0"},
		{atDot, "554 Message too large", "unrepresentable 554"},
		{atMail, "550 5.3.4 no", "unrepresentable 550 5.3.4"},
		{atRcpt, "552 5.3.4 message is too large for this recipient", "unrepresentable 552 5.3.4"},
		{atRcpt, "550 5.2.3 more than the mailbox takes", "unrepresentable 550 5.2.3"},
		{atDot, "452 4.3.0 quota exceeded", "throttled 452 4.3.0"},
		{atRcpt, "554 5.5.3 Too many recipients", "temporary 554 5.5.3"},
		{atRcpt, "550 Too many recipients in this message", "temporary 550"},
		{atDot, "554 Transaction failed: Recipient count exceeds 50.", "temporary 554"},
		{atData, "554 5.5.3 too many recipients", "temporary 554 5.5.3"},
		{atDot, "550 5.1.1 too many recipients unknown", "permanent 550 5.1.1"},
		{atDot, "554 5.5.3 no such thing", "permanent 554 5.5.3"},
		{atDot, "554 5.7.1 a message to our corporate recipients cannot be generated", "permanent 554 5.7.1"},
		{atRcpt, "452 4.5.3 too many recipients per hour", "throttled 452 4.5.3"},
		{atRcpt, "554 5.7.1 too many recipients today", "throttled 554 5.7.1"},
		{atDot, "550 5.4.5 Daily user sending limit exceeded", "throttled 550 5.4.5"},
		{atDot, "554 5.7.1 recipient rate limit exceeded", "throttled 554 5.7.1"},
		{atRcpt, "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", "throttled 550 5.1.90"},
		{atDot, "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit", "throttled 550 5.7.233"},
		{atRcpt, "550-Domain example.com has exceeded the max emails per hour (300/300 (100%)) allowed.  Message discarded.", "throttled 550"},
		{atRcpt, "550 Domain example.com has exceeded the max defers and failures per hour (5/5 (100%)) allowed.", "throttled 550"},
		{atRcpt, "554 5.7.1 <a@x>: Recipient address rejected: Policy rejection: Message quota exceeded", "throttled 554 5.7.1"},
		{atMail, "554 5.7.1 Rate limit exceeded for app@example.com", "throttled 554 5.7.1"},
		{atMail, "550 Sending too many emails, try again later", "throttled 550"},
		{atDot, "550 User app@example.com has exceeded its 24-hour sending limit. Messages to 250 recipients out of 250 allowed have been sent.", "throttled 550"},
		{atDot, "554 Too many requests", "throttled 554"},
		{atDot, "552 5.2.2 quota exceeded, hourly", "permanent 552 5.2.2"},
		{atDot, "550 5.7.1 our daily news are not for you", "permanent 550 5.7.1"},
		{atMail, "550 message rejected today", "permanent 550"},
		{atConnect, "550 rate limit exceeded", "temporary 550 connect"},
		{atConnect, "550 5.7.1 banned", "temporary 550 5.7.1 connect"},
		{atAuth, "535 authentication failed", "account 535"},
		{atAuth, "535 5.7.8 Too many connections per account", "throttled 535 5.7.8"},
		{atAuth, "432 4.7.12 transition needed", "temporary 432 4.7.12 connect"},
	} {
		code, _, text, ok := splitReplyLine(test.reply)
		if !ok {
			t.Fatal(test.reply)
		}
		r := reply{code: code}
		r.setText([]string{text}, nil)
		if got := upstreamtest.Describe([]upstream.Outcome{{Err: r.failure(test.phase)}})[0]; got != test.want {
			t.Errorf("%d %q: %s, want %s", test.phase, test.reply, got, test.want)
		}
	}
}

func TestSMTPReplyText(t *testing.T) {
	r := reply{code: 550}
	r.setText([]string{"5.1.1 first", "5.1.1 \x1b[31msecond\xff", "5.x.1 third", "4.1.1 fourth"}, nil)
	if r.enhanced != "5.1.1" || r.text != "first [31msecond? 5.x.1 third 4.1.1 fourth" {
		t.Errorf("%+v", r)
	}
	r.setText([]string{strings.Repeat("ä", 3000)}, nil)
	if len(r.text) > maxReplyText+3 || !strings.HasSuffix(r.text, "ä…") {
		t.Errorf("%d bytes", len(r.text))
	}
	for text, want := range map[string]string{"": "", " ": "", "a b": "a b", " a": "a", "a ": "a", "a  b": "a b", "a\tb": "a b", "a\x7fb": "a b", "é": "é",
		strings.Repeat("x", maxReplyText): strings.Repeat("x", maxReplyText), strings.Repeat("x", maxReplyText+1): strings.Repeat("x", maxReplyText) + "…"} {
		if got := clean(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for code, want := range map[string]bool{"2.1.1": true, "4.123.123": true, "2.1": false, "2.1.1.1": false, "2..1": false, "2.1.": false, "3.1.1": false,
		"2.1234.1": false, "2.a.1": false, "25.1.1": false, "": false} {
		if got := isEnhanced(code); got != want {
			t.Errorf("%q is an enhanced code: %v", code, got)
		}
	}
	for line, ok := range map[string]bool{"250": true, "250-x": true, "25": false, "2x0 a": false, "600 a": false, "250_a": false, "099 a": false} {
		if _, _, _, got := splitReplyLine(line); got != ok {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestSMTPQueueID(t *testing.T) {
	for text, want := range map[string]string{
		"Ok: queued as 4Zx1.": "4Zx1", "OK id=1abc-00-2": "1abc-00-2", "Ok 0102018f0a1b2c3d-00": "0102018f0a1b2c3d-00",
		"Ok done": "", "accepted": "", "": "", "queued as": "", "OK  1690000 x - gsmtp": "",
	} {
		if got := (reply{text: text}).queueID(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

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

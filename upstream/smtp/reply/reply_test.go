package reply

import (
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

func TestFailure(t *testing.T) {
	for _, test := range []struct {
		phase Stage
		reply string
		want  string
	}{
		{AtMail, "421 4.7.28 Our system has detected an unusual rate", "throttled 421 4.7.28"},
		{AtMail, "450 4.7.1 Error: too much mail from 192.0.2.1", "throttled 450 4.7.1"},
		{AtMail, "451 4.7.500 Server busy", "temporary 451 4.7.500"},
		{AtMail, "452 4.3.1 Insufficient system storage", "temporary 452 4.3.1 outage"},
		{AtMail, "452 no space left", "temporary 452 outage"},
		{AtMail, "452 4.3.4 too big for now", "temporary 452 4.3.4"},
		{AtMail, "451 4.7.1 greylisted", "temporary 451 4.7.1"},
		{AtData, "451 4.3.5 configuration error", "temporary 451 4.3.5 outage"},
		{AtDot, "451 4.3.0 queue file write error", "temporary 451 4.3.0 outage"},
		{AtDot, "452 try later", "temporary 452"},
		{AtRcpt, "451 4.3.0 temporary lookup failure", "temporary 451 4.3.0"},
		{AtRcpt, "450 4.2.1 The user is receiving mail at a rate limit", "temporary 450 4.2.1"},
		{AtRcpt, "452 4.2.2 mailbox quota exceeded", "temporary 452 4.2.2"},
		{AtRcpt, "452 4.5.3 Too many recipients", "temporary 452 4.5.3"},
		{AtRcpt, "552 too many recipients", "temporary 552"},
		{AtRcpt, "552 5.2.2 mailbox full", "permanent 552 5.2.2"},
		{AtRcpt, "550 5.1.1 user unknown in relay recipient table, denied", "permanent 550 5.1.1"},
		{AtRcpt, "550 5.2.1 account disabled", "permanent 550 5.2.1"},
		{AtRcpt, "550 account disabled", "permanent 550"},
		{AtRcpt, "530 5.7.1 Authentication required", "account 530 5.7.1"},
		{AtRcpt, "550 relay not permitted", "account 550 sender"},
		{AtRcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen", "account 554 5.7.1"},
		{AtRcpt, "503 5.5.1 bad sequence", "temporary 503 5.5.1"},
		{AtRcpt, "450", "temporary 450"},
		{AtMail, "550 5.7.1 Unable to relay", "account 550 5.7.1"},
		{AtMail, "503 5.5.4 Error: send AUTH first", "account 503 5.5.4"},
		{AtMail, "500 what", "temporary 500"},
		{AtMail, "501 5.1.7 bad sender", "permanent 501 5.1.7"},
		{AtMail, "555 5.5.4 unsupported option", "permanent 555 5.5.4"},
		{AtMail, "554 5.2.0 account suspended", "permanent 554 5.2.0"},
		{AtMail, "550 5.7.0 Account suspended", "account 550 5.7.0"},
		{AtMail, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", "account 550 5.7.60 sender"},
		{AtDot, "554 5.7.1 blocked using url blocklist", "permanent 554 5.7.1"},
		{AtDot, "550 The from address does not match a verified Sender Identity", "account 550 sender"},
		{AtDot, "552 5.3.4 Message size exceeds fixed limit", "unrepresentable 552 5.3.4"},
		{AtMail, "552 too big", "unrepresentable 552"},
		{AtDot, "552 5.7.0 blocked because its content presents a risk", "permanent 552 5.7.0"},
		{AtDot, "554 Message too large", "unrepresentable 554"},
		{AtMail, "550 5.3.4 no", "unrepresentable 550 5.3.4"},
		{AtRcpt, "552 5.3.4 message is too large for this recipient", "unrepresentable 552 5.3.4"},
		{AtRcpt, "550 5.2.3 more than the mailbox takes", "unrepresentable 550 5.2.3"},
		{AtDot, "452 4.3.0 quota exceeded", "throttled 452 4.3.0"},
		{AtRcpt, "554 5.5.3 Too many recipients", "temporary 554 5.5.3"},
		{AtRcpt, "550 Too many recipients in this message", "temporary 550"},
		{AtDot, "554 Transaction failed: Recipient count exceeds 50.", "temporary 554"},
		{AtData, "554 5.5.3 too many recipients", "temporary 554 5.5.3"},
		{AtDot, "550 5.1.1 too many recipients unknown", "permanent 550 5.1.1"},
		{AtDot, "554 5.5.3 no such thing", "permanent 554 5.5.3"},
		{AtDot, "554 5.7.1 a message to our corporate recipients cannot be generated", "permanent 554 5.7.1"},
		{AtRcpt, "452 4.5.3 too many recipients per hour", "throttled 452 4.5.3"},
		{AtRcpt, "554 5.7.1 too many recipients today", "throttled 554 5.7.1"},
		{AtDot, "550 5.4.5 Daily user sending limit exceeded", "throttled 550 5.4.5"},
		{AtDot, "554 5.7.1 recipient rate limit exceeded", "throttled 554 5.7.1"},
		{AtRcpt, "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", "throttled 550 5.1.90"},
		{AtDot, "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit", "throttled 550 5.7.233"},
		{AtRcpt, "550-Domain example.com has exceeded the max emails per hour (300/300 (100%)) allowed.  Message discarded.", "throttled 550"},
		{AtRcpt, "550 Domain example.com has exceeded the max defers and failures per hour (5/5 (100%)) allowed.", "throttled 550"},
		{AtRcpt, "554 5.7.1 <a@x>: Recipient address rejected: Policy rejection: Message quota exceeded", "throttled 554 5.7.1"},
		{AtMail, "554 5.7.1 Rate limit exceeded for app@example.com", "throttled 554 5.7.1"},
		{AtRcpt, "550 <rate-limit@example.org>: no such user", "permanent 550"},
		{AtRcpt, "550 throttle@example.org: no such user", "permanent 550"},
		{AtDot, `554 refused for "slow down"@example.org, your account`, "permanent 554"},
		{AtMail, "550 Sending too many emails, try again later", "throttled 550"},
		{AtDot, "550 User app@example.com has exceeded its 24-hour sending limit. Messages to 250 recipients out of 250 allowed have been sent.", "throttled 550"},
		{AtDot, "554 Too many requests", "throttled 554"},
		{AtDot, "552 5.2.2 quota exceeded, hourly", "permanent 552 5.2.2"},
		{AtDot, "550 5.7.1 our daily news are not for you", "permanent 550 5.7.1"},
		{AtMail, "550 message rejected today", "permanent 550"},
		{AtConnect, "550 rate limit exceeded", "temporary 550 connect"},
		{AtConnect, "550 5.7.1 banned", "temporary 550 5.7.1 connect"},
		{AtAuth, "535 authentication failed", "account 535"},
		{AtAuth, "535 5.7.8 Too many connections per account", "throttled 535 5.7.8"},
		{AtAuth, "432 4.7.12 transition needed", "temporary 432 4.7.12 connect"},
	} {
		code, _, text, ok := SplitLine(test.reply)
		if !ok {
			t.Fatal(test.reply)
		}
		r := Reply{Code: code}
		r.SetText([]string{text}, nil)
		if got := upstreamtest.Describe([]upstream.Outcome{{Err: r.Failure(test.phase)}})[0]; got != test.want {
			t.Errorf("%d %q: %s, want %s", test.phase, test.reply, got, test.want)
		}
	}
}

func TestText(t *testing.T) {
	r := Reply{Code: 550}
	r.SetText([]string{"5.1.1 first", "5.1.1 \x1b[31msecond\xff", "5.x.1 third", "4.1.1 fourth"}, nil)
	if r.Enhanced != "5.1.1" || r.Text != "first [31msecond? 5.x.1 third 4.1.1 fourth" {
		t.Errorf("%+v", r)
	}
	r.SetText([]string{strings.Repeat("ä", 3000)}, nil)
	if len(r.Text) > MaxText+3 || !strings.HasSuffix(r.Text, "ä…") {
		t.Errorf("%d bytes", len(r.Text))
	}
	for text, want := range map[string]string{"": "", " ": "", "a b": "a b", " a": "a", "a ": "a", "a  b": "a b", "a\tb": "a b", "a\x7fb": "a b", "é": "é",
		strings.Repeat("x", MaxText): strings.Repeat("x", MaxText), strings.Repeat("x", MaxText+1): strings.Repeat("x", MaxText) + "…"} {
		if got := Clean(text); got != want {
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
		if _, _, _, got := SplitLine(line); got != ok {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestQueueID(t *testing.T) {
	for text, want := range map[string]string{
		"Ok: queued as 4Zx1.": "4Zx1", "OK id=1abc-00-2": "1abc-00-2", "Ok 0102018f0a1b2c3d-00": "0102018f0a1b2c3d-00",
		"Ok done": "", "accepted": "", "": "", "queued as": "", "OK  1690000 x - gsmtp": "",
	} {
		if got := (Reply{Text: text}).QueueID(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

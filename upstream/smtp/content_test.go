package smtp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream/upstreamtest"
)

func TestSMTPByteIdentity(t *testing.T) {
	big := bytes.Repeat([]byte("..dots\r\n.\r\n\x00\xff 8-bit and NUL\r\n"+strings.Repeat(strings.Repeat("long ", 199)+"\r\n", 10)+"\r\n"), 200)
	for _, test := range []struct{ name, body, want string }{
		{"empty", "", ""},
		{"dots", ".\r\n..\r\n.a\r\n\r\n.", ".\r\n..\r\n.a\r\n\r\n.\r\n"},
		{"8-bit and NUL", "\xe4\x00\xff\r\n", "\xe4\x00\xff\r\n"},
		{"NUL at the end", "a\r\n\x00", "a\r\n\x00\r\n"},
		{"no final CRLF", "end", "end\r\n"},
		{"final CR", "end\r", "end\r\n"},
		{"blank lines at the end", "end\r\n\r\n\r\n", "end\r\n\r\n\r\n"},
		{"lone LF", "a\nb\n.\nc\n\n.\n", "a\r\nb\r\n.\r\nc\r\n\r\n.\r\n"},
		{"lone CR", "a\rb\r.\rc\r\r\n.\r.", "a\r\nb\r\n.\r\nc\r\n\r\n.\r\n.\r\n"},
		{"large", string(big), string(big)},
		{"large without CRLF at the end", strings.Repeat("x\r\n", 1<<19) + "x", strings.Repeat("x\r\n", 1<<19) + "x\r\n"},
		{"large of CRs", strings.Repeat("\r", 1<<20), strings.Repeat("\r\n", 1<<20)},
		{"large of dots", strings.Repeat(".\n", 1<<20), strings.Repeat(".\r\n", 1<<20)},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
			u := openSMTP(t, relay, nil)
			const head = "Subject: x\r\n  folded\r\nX-Odd : y\r\n\r\n"
			if out := u.Send(context.Background(), upstreamtest.NewMail(t, head+test.body, "b@example.org")); out[0].Err != nil {
				t.Fatal(out[0].Err)
			}
			got := relay.Taken()[0]
			if sha256.Sum256(got.Data) != sha256.Sum256([]byte(head+test.want)) {
				t.Errorf("%d bytes came, want %d", len(got.Data), len(head+test.want))
				if len(got.Data) < 200 {
					t.Errorf("%q", got.Data)
				}
			}
			if want := fmt.Sprintf("SIZE=%d", len(head+test.want)); !slices.Contains(got.MailParams, want) {
				t.Errorf("parameters %q, want %s", got.MailParams, want)
			}
			checkFaults(t, relay)
		})
	}
}

func TestSMTPSmuggling(t *testing.T) {
	const second = "MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nsmuggled\r\n.\r\n"
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n.\r", "\r.\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n",
		"\n\n.\r\n", "\r\n.\r\r\n", "\r\n. \r\n", "\n..\r\n", "\r\n.\r\n", "\r\r\n.\r\r\n",
	} {
		relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
		u := openSMTP(t, relay, nil)
		for _, source := range []string{upstreamtest.PlainMessage + "hi" + end + second, "Subject: hi" + end + second} {
			if out := u.Send(context.Background(), upstreamtest.NewMail(t, source, "b@example.org")); out[0].Err != nil {
				t.Fatal(out[0].Err)
			}
		}
		for _, got := range relay.Taken() {
			if got.From != "a@example.com" || bytes.Contains(got.Data, []byte("\n.\r\n.\r\n")) {
				t.Errorf("%q smuggled: %q", end, got.Data)
			}
		}
		if len(relay.Taken()) != 2 {
			t.Errorf("%q made %d messages of 2", end, len(relay.Taken()))
		}
		checkFaults(t, relay)
	}
}

func TestSMTPHeaderEdits(t *testing.T) {
	const source = "Received: x\r\nBcc: hidden@x,\r\n\tother@x\r\nFrom: a@b\r\nbcc : third@x\r\nResent-Bcc: fourth@x\r\n" +
		"X-SMTPAPI: {}\r\nX-Mailgun-Tag: t\r\nX-SES-Configuration-Set: c\r\nX-MC-Tags: t\r\nX-PM-Tag: t\r\nX-Other: kept\r\n\r\nBcc: in the body\r\n"
	const multi = "From: a@b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
	for _, test := range []struct {
		name, source, want string
		keep               bool
		own                []string
	}{
		{"stripped", source, "Received: x\r\nFrom: a@b\r\nX-Other: kept\r\n\r\nBcc: in the body\r\n", false, nil},
		{"the operator's", source, "Received: x\r\nFrom: a@b\r\nX-SES-Configuration-Set: c\r\nX-MC-Tags: t\r\nX-Other: kept\r\n\r\nBcc: in the body\r\n", false,
			[]string{"x-ses-configuration-set", "x-mc-tags"}},
		{"kept", source, "Received: x\r\nFrom: a@b\r\nX-SMTPAPI: {}\r\nX-Mailgun-Tag: t\r\nX-SES-Configuration-Set: c\r\nX-MC-Tags: t\r\n" +
			"X-PM-Tag: t\r\nX-Other: kept\r\n\r\nBcc: in the body\r\n", true, nil},
		{"behind a lone CR", "From: a@b\r\nX: 1\rBcc: hidden@x\rY: 2\r\r\n\r\na\rb\r\n", "From: a@b\r\nX: 1 Bcc: hidden@x Y: 2\r\n\r\na\r\nb\r\n", false, nil},
		{"behind a lone CR in a part", multi + "X: 1\rContent-Type: text/html\r\n\r\na\rb\r\n--b--\r\n", multi + "X: 1 Content-Type: text/html\r\n\r\na\r\nb\r\n--b--\r\n", false, nil},
		{"repeated To", "From: a@b\r\nTo: c@x\r\nCc: d@x\r\nto: Ann <e@x>,\r\nCC: undisclosed:;\r\nSubject: s\r\n\r\n",
			"From: a@b\r\nTo: c@x, Ann <e@x>\r\nCc: d@x, undisclosed:;\r\nSubject: s\r\n\r\n", false, nil},
		{"Return-Path and mailbox lines", "Received: x\r\nReturn-Path: <a@b>\r\n>From a@b Mon Nov 23 10:11:12 2026\r\nFrom a\r\nSubject: s\r\n>From b\r\nTo: c@x\r\n\r\n>From c\r\n",
			"Received: x\r\nSubject: s\r\n>From b\r\nTo: c@x\r\n\r\n>From c\r\n", false, nil},
		{"behind a lone LF", "From: a@b\nBcc: hidden@x\n\nbody", "From: a@b\r\n\r\nbody\r\n", false, nil},
		{"header only", "From: a@b\r\nBcc: hidden@x", "From: a@b\r\n\r\n", false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
			u := openSMTP(t, relay, func(s *settings) { s.PassControlHeaders = test.keep })
			m := upstreamtest.NewMail(t, test.source, "hidden@x")
			m.Own = test.own
			if out := u.Send(context.Background(), m); out[0].Err != nil {
				t.Fatal(out[0].Err)
			}
			got := string(relay.Taken()[0].Data)
			if test.name == "header only" {
				got = strings.TrimRight(got, "\r\n") + "\r\n\r\n" // with or without the empty line
			}
			if got != test.want {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
			checkFaults(t, relay)
		})
	}
}

func TestSMTPUnreadableMessage(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	for _, size := range []int{1000, 2 << 20} {
		m := upstreamtest.NewMail(t, upstreamtest.PlainMessage+strings.Repeat("x\r\n", size/3), "b@example.org")
		m.Message.Source = upstreamtest.BrokenSource{Source: m.Message.Source}
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "temporary")
	}
	// The bytes go away between reading for the size and sending.
	m := upstreamtest.NewMail(t, upstreamtest.PlainMessage+strings.Repeat("x\r\n", 1<<20), "b@example.org")
	relay = upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(step upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		if step.Stage == upstreamtest.SMTPMail {
			m.Message.Source = upstreamtest.BrokenSource{Source: m.Message.Source}
		}
		return upstreamtest.SMTPReaction{}
	}})
	u = openSMTP(t, relay, nil)
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "temporary")
	if n := relay.Count(); n != 0 {
		t.Errorf("%d cut messages were taken", n)
	}
}

func TestSMTPNoStall(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@example.org"))
	fastest := time.Hour // a busy machine takes long for most, but for each only what is wrong
	for range 50 {
		start := time.Now()
		u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@example.org"))
		fastest = min(fastest, time.Since(start))
	}
	if fastest > 20*time.Millisecond {
		t.Errorf("%v for a message: delayed acknowledgement against Nagle takes 40 ms", fastest)
	}
}

func TestSMTPBrokenHeader(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	const bare = "Subject: one\r\ntwo\r\n"
	const top = "From a@example.com Mon Nov 23 10:11:12 2026\r\n" + bare
	const rest = ": Crash\r\nX Odd Name: 1\r\nContent-Type: multipart/mixed;\r\nboundary=M\r\n\r\n--M\r\n\r\nText.\r\n--M--\r\n"
	const bcc = "Bcc: eve@example.org,\r\nmallory@example.org\r\nX-A: 1\r\n"
	for _, test := range []struct{ source, want string }{
		{top + rest, bare + rest}, {top + bcc + rest, bare + "X-A: 1\r\n" + rest},
	} {
		if out := u.Send(context.Background(), upstreamtest.NewMail(t, test.source, "b@example.org")); out[0].Err != nil {
			t.Fatal(out[0].Err)
		}
		if got := relay.Taken()[len(relay.Taken())-1]; string(got.Data) != test.want {
			t.Errorf("got %q, want %q", got.Data, test.want)
		}
	}
}

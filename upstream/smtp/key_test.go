package smtp

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

const keyedMessage = "From: app@example.com\r\nTo: a@x\r\nSubject: s\r\nResend-Idempotency-Key: own\r\nX-SES-Tag: t\r\n\r\nbody\r\n"

// openKeyed opens an upstream of preset resend to a relay that knows keys.
func openKeyed(t *testing.T, fake *upstreamtest.SMTP, pass bool) upstream.Upstream {
	t.Helper()
	s := &settings{Preset: "resend", Host: fake.Host, Port: fake.Port, TLS: tlsNone, PassControlHeaders: pass}
	u, err := s.Open(upstream.Env{Name: "relay", Hostname: "gateway.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.(keyed).Close() })
	return u
}

// TestKeyedRelay loses the reply to a message and offers it again: it is taken once.
func TestKeyedRelay(t *testing.T) {
	drop := true
	fake := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Keyed: true, React: func(step smtpStep) smtpReaction {
		switch {
		case step.Stage == upstreamtest.SMTPRcpt && strings.HasPrefix(step.Address, "nobody"):
			return replyWith("550 5.1.1 no such user")
		case step.Stage == upstreamtest.SMTPDot && drop:
			drop = false
			return smtpReaction{Drop: true}
		}
		return smtpReaction{}
	}})
	u := openKeyed(t, fake, false)
	if validity := u.(upstream.Idempotent).KeyValidity(); validity != 24*time.Hour {
		t.Errorf("keys are known for %v", validity)
	}
	m := upstreamtest.NewMail(t, keyedMessage, "a@x", "nobody@x", "b@x")
	out := u.Send(t.Context(), m)
	lost := out[0].Err.(*upstream.Error)
	if lost.Class != upstream.Uncertain || lost.Digest == "" || lost.Changed || out[1].Err.(*upstream.Error).Class != upstream.Permanent {
		t.Fatalf("%+v, %v", lost, out[1].Err)
	}
	m.To, m.Digest = []upstream.Recipient{m.To[2], m.To[0]}, lost.Digest // what is uncertain, in any order
	for _, o := range u.Send(t.Context(), m) {
		if o.Err != nil || o.ID != "FAKE1" {
			t.Errorf("%+v", o)
		}
	}
	if n := fake.Count(); n != 1 {
		t.Errorf("taken %d times", n)
	}
	data, key := string(fake.Taken()[0].Data), fake.Taken()[0].Key()
	if !strings.HasPrefix(key, m.ID+"-") || strings.Contains(data, "own") || strings.Contains(data, "X-SES") {
		t.Errorf("%s in\n%s", key, data)
	}
	checkFaults(t, fake)

	// Another message than the one that may have been taken is not offered.
	other := upstreamtest.NewMail(t, strings.Replace(keyedMessage, "body", "other", 1), "a@x", "b@x")
	other.Digest = lost.Digest
	for _, o := range u.Send(t.Context(), other) {
		if e := o.Err.(*upstream.Error); e.Class != upstream.Uncertain || !e.Changed || e.Digest != lost.Digest || fake.Count() != 1 {
			t.Errorf("%+v", e)
		}
	}
	// Nor taken, where nobody knows that it changed; with a key of its own it is.
	other.Digest = ""
	if e := u.Send(t.Context(), other)[0].Err.(*upstream.Error); e.Class != upstream.Uncertain || !e.Changed || fake.Count() != 1 {
		t.Errorf("%+v", e)
	}
	other.Key = other.ID + "-2"
	if o := u.Send(t.Context(), other)[0]; o.Err != nil || fake.Count() != 2 {
		t.Errorf("%+v", o)
	}
	checkFaults(t, fake)
}

// TestKeyedRelayTransactions: each transaction has a key; SIZE counts it.
func TestKeyedRelayTransactions(t *testing.T) {
	fake := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Keyed: true, Extensions: []string{"SIZE 1000000", "LIMITS RCPTMAX=2", "PIPELINING"}})
	u := openKeyed(t, fake, false)
	m := upstreamtest.NewMail(t, keyedMessage, "a@x", "b@x", "c@x")
	for _, o := range u.Send(t.Context(), m) {
		if o.Err != nil {
			t.Error(o.Err)
		}
	}
	taken := fake.Taken()
	if len(taken) != 2 || taken[0].Key() == taken[1].Key() {
		t.Fatalf("%+v", taken)
	}
	for _, mail := range taken {
		if size := "SIZE=" + strconv.Itoa(len(mail.Data)); mail.MailParams[0] != size {
			t.Errorf("%v, want %s", mail.MailParams, size)
		}
	}
	var shown strings.Builder
	if err := u.(upstream.Renderer).Render(m, &shown); err != nil || !strings.Contains(shown.String(), "\nDATA\n"+keyField+": "+m.ID+"-") {
		t.Errorf("%v\n%s", err, shown.String())
	}
	checkFaults(t, fake)
}

// TestKeyOfTheProgram: the program's own key is part of ours where its control fields may leave.
func TestKeyOfTheProgram(t *testing.T) {
	fake := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Keyed: true})
	u := openKeyed(t, fake, true)
	for _, id := range []string{"Q1", "Q2"} { // the program submitted it twice
		m := upstreamtest.NewMail(t, keyedMessage, "a@x")
		m.ID = id
		if o := u.Send(t.Context(), m)[0]; o.Err != nil {
			t.Error(o.Err)
		}
	}
	if n := fake.Count(); n != 1 || !strings.HasPrefix(fake.Taken()[0].Key(), "own-") {
		t.Errorf("taken %d times, %s", n, fake.Taken()[0].Key())
	}
	for _, bad := range []string{strings.Repeat("k", 250), "k\xe9y"} {
		m := upstreamtest.NewMail(t, strings.Replace(keyedMessage, "own", bad, 1), "a@x")
		if e, ok := u.Send(t.Context(), m)[0].Err.(*upstream.Error); !ok || e.Class != upstream.Unrepresentable {
			t.Errorf("%.10s: %+v", bad, e)
		}
	}
	concurrent := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: react(upstreamtest.SMTPDot, "", replyWith("451 concurrent_idempotent_requests"))})
	if e := openKeyed(t, concurrent, false).Send(t.Context(), upstreamtest.NewMail(t, keyedMessage, "a@x"))[0].Err.(*upstream.Error); e.Class != upstream.Uncertain || e.Changed || e.Digest == "" {
		t.Errorf("%+v", e)
	}
	checkFaults(t, fake)
}

// TestControlFieldsPass: what steers the relay is there because the program speaks to it.
func TestControlFieldsPass(t *testing.T) {
	for setting, kept := range map[string]bool{"": true, "pass_control_headers = true\n": true, "pass_control_headers = false\n": false} {
		fake := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
		u, err := upstreamtest.Open(Kind(), "host = '"+fake.Host+"'\ntls = 'none'\nport = "+strconv.Itoa(fake.Port)+"\n"+setting)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = u.(*relay).Close() })
		upstreamtest.CheckOutcomes(t, u.Send(t.Context(), upstreamtest.NewMail(t, keyedMessage, "a@x")), "ok FAKE1")
		if data := string(fake.Taken()[0].Data); strings.Contains(data, "X-SES-Tag") != kept || strings.Contains(data, keyField) != kept {
			t.Errorf("%s%s", setting, data)
		}
	}
}

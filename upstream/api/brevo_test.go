package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// TestBrevoSameKey loses the reply and asks again: Brevo knows the key and does not tell the id once more.
func TestBrevoSameKey(t *testing.T) {
	up, fake := start(t, "brevo", "")
	if valid := up.(upstream.Idempotent).KeyValidity(); valid != 15*time.Minute {
		t.Errorf("keys are valid for %v", valid)
	}
	fake.Script(upstreamtest.Fault{Drop: upstreamtest.DropReply})
	m := makeMail(t, plainMessage, "ann@example.org", "bob@example.org")
	lost := asError(t, up.Send(t.Context(), m)[0].Err)
	if lost.Class != upstream.Uncertain || lost.Digest == "" {
		t.Fatalf("%+v", lost)
	}
	m.Again, m.Digest = true, lost.Digest
	for i, o := range up.Send(t.Context(), m) {
		if o.Err != nil || o.ID != "" {
			t.Errorf("recipient %d: %+v", i, o)
		}
	}
	if n := len(fake.Accepted()); n != 1 {
		t.Errorf("taken %d times", n)
	}
	// Nobody knows of a request that may have been taken: the key is free again after a while.
	m.Again, m.Digest = false, ""
	if e := asError(t, up.Send(t.Context(), m)[0].Err); e.Class != upstream.Temporary || e.Code != "duplicate_parameter" {
		t.Errorf("%+v", e)
	}
	m.Key = m.ID + "-2"
	if o := up.Send(t.Context(), m)[0]; o.Err != nil || o.ID == "" || fake.Accepted()[0].IdempotencyKey == fake.Accepted()[1].IdempotencyKey {
		t.Errorf("with another key: %+v", o)
	}
}

func mixed(part string) string {
	return "From: app@example.com\nTo: ann@example.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>text <img src='cid:p@x'></p>\n--b\n" +
		part + "\n--b--\n"
}

// TestBrevoFiles: files that Brevo does not take are told before anything is sent.
func TestBrevoFiles(t *testing.T) {
	rows := []struct{ part, strict, allowed string }{ // the name that it gets, "" where it is not carried
		{"Content-Type: application/pdf; name=a.PDF\n\nx", "a.PDF", "a.PDF"},
		{"Content-Type: application/octet-stream; name=a.7z\n\nx", "", ""},
		{"Content-Type: application/octet-stream\n\nx", "", ""},
		{"Content-Type: text/x-log; name=a.log\nContent-Disposition: attachment\n\nx", "", "a.log.txt"},
		{"Content-Type: message/rfc822; name=a.eml\n\nSubject: s\n\nx", "", "a.eml.txt"},
		{"Content-Type: message/rfc822\n\nSubject: s\n\nx", "message.eml.txt", "message.eml.txt"},
		{"Content-Type: text/x-odd\nContent-Disposition: attachment\n\nx", "attachment.txt", "attachment.txt"},
		{"Content-Type: text/csv; name=empty.csv\nContent-Disposition: attachment\n\n", "empty.csv", "empty.csv"},
		{"Content-Type: image/png; name=p.png\nContent-ID: <p@x>\n\nx", "", "p.png"},
		{"Content-Type: image/png; name=p.png\nContent-ID: <other@x>\nContent-Disposition: attachment\n\nx", "p.png", "p.png"},
	}
	for _, settings := range []string{"", "on_lossy = 'allow'\n"} {
		up, fake := start(t, "brevo", settings)
		for _, row := range rows {
			fake.Reset()
			fake.Forget()
			want := row.strict
			if settings != "" {
				want = row.allowed
			}
			m := makeMail(t, mixed(row.part), "ann@example.org")
			sameVerdict(t, row.part, up, m)
			out := up.Send(t.Context(), m)
			if want == "" {
				if e := asError(t, out[0].Err); e.Class != upstream.Unrepresentable || e.Code != "5.6.1" || fake.Requests() != 0 {
					t.Errorf("%s%s: %+v", settings, row.part, e)
				}
				continue
			}
			if out[0].Err != nil {
				t.Errorf("%s%s: %v: %v", settings, row.part, out[0].Err, fake.Rejected())
				continue
			}
			named(t, fake.Accepted()[0], want)
		}
	}
}

// TestBrevoReplyTo: the answer goes to one address only.
func TestBrevoReplyTo(t *testing.T) {
	for _, field := range []string{"Reply-To: a@example.com, b@example.com\n", "From: other@example.com, third@example.com\n"} {
		message := field + strings.Replace(plainMessage, "From: App <app@example.com>\n", map[bool]string{true: "From: App <app@example.com>\n"}[strings.HasPrefix(field, "Reply")], 1)
		up, fake := start(t, "brevo", "")
		m := makeMail(t, message, "ann@example.org")
		sameVerdict(t, field, up, m)
		if e := asError(t, up.Send(t.Context(), m)[0].Err); e.Class != upstream.Unrepresentable || fake.Requests() != 0 {
			t.Errorf("%s: %+v", field, e)
		}
		up, fake = start(t, "brevo", "on_lossy = 'allow'\n")
		if out := up.Send(t.Context(), m); out[0].Err != nil || len(fake.Accepted()[0].ReplyTo) != 1 {
			t.Errorf("%s: %+v", field, out[0])
		}
	}
}

// TestBrevoNamesAndHeaders: what Brevo would lose or send as raw bytes is written so that it does not.
func TestBrevoNamesAndHeaders(t *testing.T) {
	message := "From: =?utf-8?q?M=C3=BCller=2C_J=C3=B6rg_=28App=29?= <app@example.com>\nTo: \"Smith, Ann\" <ann@example.org>, =?utf-8?q?" + strings.Repeat("=C3=BC", 80) +
		"?= <bob@example.org>\nReply-To: =?utf-8?q?B=C3=BCro=2C_links?= <r@example.com>\nSubject: s\nX-Plain: a\nX-Umlaut: =?utf-8?q?=C3=BC?=\n" +
		"sender.ip: 192.0.2.1\nidempotencyKey: k\nX-Mailin-Tag: t\nX-Mailin-Tag: u\nX-Sib-Sandbox: drop\nMessage-ID: <m@example.com>\n\nbody <b> &\n"
	for settings, control := range map[string]string{"": " ", "pass_control_headers = true\n": "t drop"} {
		up, fake := start(t, "brevo", settings)
		if out := up.Send(t.Context(), makeMail(t, message, "ann@example.org", "bob@example.org")); out[0].Err != nil {
			t.Fatalf("%v: %v", out[0].Err, fake.Rejected())
		}
		got := fake.Accepted()[0]
		if got.From != "Müller Jörg App <app@example.com>" || got.To[0] != "Smith, Ann <ann@example.org>" || got.To[1] != strings.Repeat("ü", 70)+" <bob@example.org>" ||
			got.ReplyTo[0] != "Büro links <r@example.com>" {
			t.Errorf("%q to %q, %q", got.From, got.To, got.ReplyTo)
		}
		if got.Headers["X-Plain"] != "a" || got.Headers["X-Umlaut"] != "" || fmt.Sprint(got.Headers["X-Mailin-Tag"], " ", got.Headers["X-Sib-Sandbox"]) != control {
			t.Errorf("%s: %q", settings, got.Headers)
		}
		if got.Options["tag"] != "01JQUEUEID" || got.Text != "body <b> &\r\n" || !strings.Contains(got.HTML, "<pre style=\"white-space: pre-wrap\">\r\nbody &lt;b&gt; &amp;\r\n</pre>") {
			t.Errorf("%q %q %q", got.Options, got.Text, got.HTML)
		}
	}
}

// TestBrevoLargeText: a text that is not held in memory is shown in an HTML too.
func TestBrevoLargeText(t *testing.T) {
	up, fake := start(t, "brevo", "")
	lines := strings.Repeat("a < b\n", 100_000)
	if out := up.Send(t.Context(), makeMail(t, strings.TrimSuffix(plainMessage, "body\n")+lines, "ann@example.org")); out[0].Err != nil {
		t.Fatalf("%v: %v", out[0].Err, fake.Rejected())
	}
	if got := fake.Accepted()[0]; !strings.Contains(got.HTML, strings.Repeat("a &lt; b\r\n", 100_000)+"</pre>") || len(got.Text) != len(lines)+100_000 {
		t.Errorf("%d characters of HTML, %d of text", len(got.HTML), len(got.Text))
	}
}

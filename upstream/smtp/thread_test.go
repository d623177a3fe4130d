package smtp

import (
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// TestMessageIDAtServices: where the service replaces Message-ID, the original one stays where threads and people find it;
// where the service keeps it on request, it is asked.
func TestMessageIDAtServices(t *testing.T) {
	const message = "From: app@example.com\r\nTo: a@x\r\nMessage-ID: <m@example.com>\r\nReferences: <a@example.com>\r\n%Subject: s\r\n\r\nbody\r\n"
	const threaded, plain = "<a@example.com> <m@example.com>", "<a@example.com>"
	for _, row := range []struct {
		preset, more     string // what else the header holds
		strip            bool   // pass_control_headers = false
		own              []string
		references, keep string
	}{
		{preset: "amazon-ses", references: threaded},
		{preset: "resend", references: threaded},
		{preset: "brevo", references: threaded},
		{preset: "", references: plain},
		{preset: "gmail", references: plain},
		{preset: "postmark", references: plain, keep: "true"},
		{preset: "postmark", more: "X-PM-KeepID: false\r\n", references: plain, keep: "false"},
		{preset: "postmark", more: "X-PM-KeepID: false\r\n", strip: true, references: plain, keep: "true"},
		{preset: "postmark", more: "X-PM-KeepID: false\r\n", strip: true, own: []string{"X-PM-KeepID"}, references: plain, keep: "false"},
	} {
		fake := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Keyed: row.preset == "resend"})
		s := &settings{Preset: row.preset, Host: fake.Host, Port: fake.Port, TLS: tlsNone, PassControlHeaders: !row.strip}
		up, err := s.Open(upstream.Env{Hostname: "gateway.test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = relayOf(up).Close() })
		m := upstreamtest.NewMail(t, strings.Replace(message, "%", row.more, 1), "a@x")
		m.Own = row.own
		if o := up.Send(t.Context(), m)[0]; o.Err != nil {
			t.Fatalf("%s: %v", row.preset, o.Err)
		}
		head := mime.ParseHeader(fake.Taken()[0].Data)
		original := ""
		if row.references == threaded {
			original = "<m@example.com>"
		}
		if got := head.Get("References"); got != row.references || head.Get("X-Original-Message-ID") != original || head.Get("X-PM-KeepID") != row.keep || head.Get("Message-ID") != "<m@example.com>" {
			t.Errorf("%+v: got %q", row, head)
		}
		checkFaults(t, fake)
	}
}

// TestLongReferences: the original id is not among those that are left out.
func TestLongReferences(t *testing.T) {
	fake := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, fake, func(s *settings) { s.Preset = "brevo" })
	ids := strings.Repeat("<"+strings.Repeat("i", 60)+"@example.com>\r\n ", 80)
	m := upstreamtest.NewMail(t, "From: app@example.com\r\nTo: a@x\r\nMessage-ID: <m@example.com>\r\nReferences: <first@x>\r\n "+ids+"<last@x>\r\n\r\nbody\r\n", "a@x")
	if o := u.Send(t.Context(), m)[0]; o.Err != nil {
		t.Fatal(o.Err)
	}
	got := strings.Fields(mime.ParseHeader(fake.Taken()[0].Data).Get("References"))
	if n := len(got); n < 40 || got[0] != "<first@x>" || got[n-2] != "<last@x>" || got[n-1] != "<m@example.com>" {
		t.Errorf("%d ids: %q", n, got)
	}
	checkFaults(t, fake)
}

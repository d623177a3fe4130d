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

package smtp

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// openSMTP opens an upstream to a relay, changed by edit.
func openSMTP(t testing.TB, fake *upstreamtest.SMTP, edit func(*settings)) *relay {
	t.Helper()
	s := &settings{Host: fake.Host, Port: fake.Port, TLS: tlsNone, CAFile: fake.CAFile}
	if edit != nil {
		edit(s)
	}
	u, err := s.Open(upstream.Env{Name: "relay", Hostname: "gateway.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.(*relay).Close() })
	return u.(*relay)
}

func checkFaults(t *testing.T, relay *upstreamtest.SMTP) {
	t.Helper()
	if faults := relay.Faults(); len(faults) > 0 {
		t.Errorf("the relay saw breaches of protocol:\n%s", strings.Join(faults, "\n"))
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func TestSMTPSend(t *testing.T) {
	for _, test := range []struct {
		name    string
		options upstreamtest.SMTPOptions
		edit    func(*settings)
		tls     bool
		user    string
	}{
		{name: "clear"},
		{name: "no pipelining", options: upstreamtest.SMTPOptions{Extensions: []string{"8BITMIME"}}},
		{name: "no extensions", options: upstreamtest.SMTPOptions{Extensions: []string{}}},
		{name: "HELO only", options: upstreamtest.SMTPOptions{HeloOnly: true, Extensions: []string{}}},
		{name: "starttls", options: upstreamtest.SMTPOptions{TLS: "starttls"},
			edit: func(s *settings) { s.TLS = "starttls" }, tls: true},
		{name: "implicit", options: upstreamtest.SMTPOptions{TLS: "implicit"},
			edit: func(s *settings) { s.TLS = "implicit" }, tls: true},
		{name: "server_name", options: upstreamtest.SMTPOptions{TLS: "implicit"},
			edit: func(s *settings) { s.TLS, s.ServerName = "implicit", "localhost" }, tls: true},
		{name: "opportunistic with TLS", options: upstreamtest.SMTPOptions{TLS: "starttls"},
			edit: func(s *settings) { s.TLS, s.CAFile = "opportunistic", "" }, tls: true},
		{name: "opportunistic without TLS", edit: func(s *settings) { s.TLS = "opportunistic" }},
		{name: "keywords in small letters, opportunistic", options: upstreamtest.SMTPOptions{TLS: "starttls", React: react(upstreamtest.SMTPEhlo, "",
			smtpReaction{Reply: "250-relay.test\n250-pipelining\n250-Size 1000000\n250 starttls"})},
			edit: func(s *settings) { s.TLS, s.CAFile = "opportunistic", "" }, tls: true},
		{name: "keywords in small letters, with a login", options: upstreamtest.SMTPOptions{Users: map[string]string{"u": "p"},
			React: react(upstreamtest.SMTPEhlo, "", smtpReaction{Reply: "250-relay.test\n250-8bitmime\n250 auth PLAIN"})},
			edit: func(s *settings) { s.Username, s.Password = "u", upstream.NewSecret("p") }, user: "u"},
		{name: "auth plain", options: upstreamtest.SMTPOptions{TLS: "starttls", Users: map[string]string{"u": "pä ss"}},
			edit: func(s *settings) { s.TLS, s.Username, s.Password = "", "u", upstream.NewSecret("pä ss") }, tls: true, user: "u"},
		{name: "auth login over implicit", options: upstreamtest.SMTPOptions{TLS: "implicit", Users: map[string]string{"u": "p"}},
			edit: func(s *settings) {
				s.TLS, s.Auth, s.Username, s.Password = "implicit", "login", "u", upstream.NewSecret("p")
			}, tls: true, user: "u"},
		{name: "auth in clear on loopback", options: upstreamtest.SMTPOptions{Users: map[string]string{"u": "p"}},
			edit: func(s *settings) { s.Username, s.Password = "u", upstream.NewSecret("p") }, user: "u"},
		{name: "xoauth2", options: upstreamtest.SMTPOptions{TLS: "starttls", Users: map[string]string{"u": "token"}, Mechanisms: []string{"XOAUTH2"}},
			edit: func(s *settings) {
				s.TLS, s.Auth, s.Username, s.Password = "starttls", "xoauth2", "u", upstream.NewSecret("token")
			}, tls: true, user: "u"},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, test.options)
			u := openSMTP(t, relay, test.edit)
			for range 2 { // the second over the connection of the first
				out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@example.org", "c@example.org"))
				if out[0].Err != nil || out[1].Err != nil {
					t.Fatalf("%v", out)
				}
			}
			taken := relay.Taken()
			if len(taken) != 2 {
				t.Fatalf("%d messages were taken", len(taken))
			}
			got := taken[1]
			if got.TLS != test.tls || got.User != test.user || got.Helo != "gateway.test" || got.From != "a@example.com" {
				t.Errorf("TLS %v, user %q, helo %q, from %q", got.TLS, got.User, got.Helo, got.From)
			}
			if diff := cmp.Diff([]string{"b@example.org", "c@example.org"}, got.Recipients()); diff != "" {
				t.Error(diff)
			}
			if string(got.Data) != upstreamtest.PlainMessage {
				t.Errorf("data %q", got.Data)
			}
			if relay.Dialed() != 1 {
				t.Errorf("%d connections", relay.Dialed())
			}
			checkFaults(t, relay)
			if err := u.Check(context.Background()); err != nil {
				t.Errorf("Check: %v", err)
			}
			if relay.Quits() != 1 {
				t.Errorf("%d QUIT after Check", relay.Quits())
			}
			if _ = u.Close(); relay.Quits() != 2 {
				t.Errorf("%d QUIT after Close", relay.Quits())
			}
		})
	}
}

func TestSMTPParameters(t *testing.T) {
	const utf8Header = "From: a@example.com\r\nSubject: gr\xc3\xbc\xc3\x9fe\r\n\r\nx\r\n"
	for _, test := range []struct {
		name       string
		extensions []string
		mail       upstream.Mail
		source     string
		params     []string
		from       string
		to         string
		toParams   []string
	}{
		{name: "plain", mail: upstream.Mail{From: "a@b", To: []upstream.Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=65"}, from: "a@b", to: "c@d"},
		{name: "null sender", mail: upstream.Mail{To: []upstream.Recipient{{Address: "c@d"}}}, params: []string{"SIZE=65"}, to: "c@d"},
		{name: "bare local part", mail: upstream.Mail{From: "root", To: []upstream.Recipient{{Address: "postmaster"}}},
			params: []string{"SIZE=65"}, from: "root", to: "postmaster"},
		{name: "quoted", mail: upstream.Mail{From: `"a> b\"<"@x`, To: []upstream.Recipient{{Address: `"@"@[127.0.0.1]`}}},
			params: []string{"SIZE=65"}, from: `"a> b\"<"@x`, to: `"@"@[127.0.0.1]`},
		{name: "dsn", mail: upstream.Mail{From: "a@b", Ret: "HDRS", EnvID: "id+1 =", To: []upstream.Recipient{{Address: "c@d",
			Notify: []string{"SUCCESS", "failure", "SUCCESS", "x\r\n"}, ORcpt: "rfc822;c+1@d"}}},
			params: []string{"SIZE=65", "RET=HDRS", "ENVID=id+2B1+20+3D"}, from: "a@b", to: "c@d",
			toParams: []string{"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;c+2B1@d"}},
		{name: "dsn never and nonsense", mail: upstream.Mail{From: "a@b", Ret: "ALL\r\n", EnvID: strings.Repeat("x", 101),
			To: []upstream.Recipient{{Address: "c@d", Notify: []string{"DELAY", "NEVER"}, ORcpt: "rfc822"}}},
			params: []string{"SIZE=65"}, from: "a@b", to: "c@d", toParams: []string{"NOTIFY=NEVER"}},
		{name: "dsn unknown to the relay", extensions: []string{"PIPELINING"}, mail: upstream.Mail{From: "a@b", Ret: "HDRS", EnvID: "1",
			To: []upstream.Recipient{{Address: "c@d", Notify: []string{"NEVER"}, ORcpt: "rfc822;c@d"}}}, from: "a@b", to: "c@d"},
		{name: "8-bit body", source: "Subject: x\r\n\r\nf\xfcr\r\n", mail: upstream.Mail{From: "a@b", To: []upstream.Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=19", "BODY=8BITMIME"}, from: "a@b", to: "c@d"},
		{name: "declared but 7-bit", mail: upstream.Mail{From: "a@b", EightBit: true, UTF8: true, To: []upstream.Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=65"}, from: "a@b", to: "c@d"},
		{name: "raw UTF-8 header", source: utf8Header, mail: upstream.Mail{From: "a@b", UTF8: true, To: []upstream.Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=44", "BODY=8BITMIME", "SMTPUTF8"}, from: "a@b", to: "c@d"},
		{name: "raw 8-bit header of old", source: utf8Header, mail: upstream.Mail{From: "a@b", To: []upstream.Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=44", "BODY=8BITMIME"}, from: "a@b", to: "c@d"},
		{name: "8-bit header of a part", source: "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Description: \xc3\xa4\r\n\r\na\r\n--x--\r\n",
			mail:   upstream.Mail{From: "a@b", UTF8: true, To: []upstream.Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=87", "BODY=8BITMIME", "SMTPUTF8"}, from: "a@b", to: "c@d"},
		{name: "international recipient", mail: upstream.Mail{From: "a@b", To: []upstream.Recipient{{Address: "jürgen@bücher.example"}}},
			params: []string{"SIZE=65", "SMTPUTF8"}, from: "a@b", to: "jürgen@xn--bcher-kva.example"},
		{name: "international domains", extensions: []string{"PIPELINING"},
			mail: upstream.Mail{From: "a@bücher.example", To: []upstream.Recipient{{Address: "c@例え.テスト"}}}, from: "a@xn--bcher-kva.example", to: "c@xn--r8jz45g.xn--zckzah"},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: test.extensions})
			u := openSMTP(t, relay, nil)
			if test.source == "" {
				test.source = upstreamtest.PlainMessage
			}
			test.mail.Message = upstreamtest.ParseMessage(t, test.source)
			if out := u.Send(context.Background(), &test.mail); out[0].Err != nil {
				t.Fatal(out[0].Err)
			}
			got := relay.Taken()[0]
			if got.From != test.from || got.To[0].Address != test.to {
				t.Errorf("from %q to %q", got.From, got.To[0].Address)
			}
			if diff := cmp.Diff(test.params, nilIfEmpty(got.MailParams)); diff != "" {
				t.Errorf("MAIL: %s", diff)
			}
			if diff := cmp.Diff(test.toParams, nilIfEmpty(got.To[0].Params)); diff != "" {
				t.Errorf("RCPT: %s", diff)
			}
			if string(got.Data) != test.source {
				t.Errorf("data %q", got.Data)
			}
			checkFaults(t, relay)
		})
	}
}

func nilIfEmpty(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return s
}

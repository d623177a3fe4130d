package upstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"mailhatch/mime"
	"mailhatch/upstream/upstreamtest"
)

const smtpTestMessage = "From: a@example.com\r\nTo: b@example.org\r\nSubject: hello\r\n\r\nHello\r\n"

func parseMail(t testing.TB, source string) *mime.Message {
	t.Helper()
	m, err := mime.Parse(mime.NewBytesSource([]byte(source)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// smtpMail is a mail of the test message to some recipients.
func smtpMail(t testing.TB, source string, to ...string) *Mail {
	t.Helper()
	m := &Mail{ID: "01TEST", From: "a@example.com", Message: parseMail(t, source)}
	for _, address := range to {
		m.To = append(m.To, Recipient{Address: address})
	}
	return m
}

// openSMTP opens an upstream to a relay, changed by edit.
func openSMTP(t testing.TB, relay *upstreamtest.SMTP, edit func(*smtpSettings)) *smtpRelay {
	t.Helper()
	s := &smtpSettings{Host: relay.Host, Port: relay.Port, TLS: smtpTLSNone, CAFile: relay.CAFile}
	if edit != nil {
		edit(s)
	}
	u, err := s.Open(Env{Name: "relay", Hostname: "gateway.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.(*smtpRelay).Close() })
	return u.(*smtpRelay)
}

// describe puts outcomes into words for tables: "ok FAKE1", "permanent 550 5.1.1", "temporary connect".
func describe(outcomes []Outcome) []string {
	var words []string
	for _, o := range outcomes {
		var e *Error
		switch {
		case o.Err == nil:
			words = append(words, strings.TrimSpace("ok "+o.ID))
			continue
		case !errors.As(o.Err, &e):
			words = append(words, "unclassified "+o.Err.Error())
			continue
		}
		w := e.Class.String()
		if e.Status != 0 {
			w += fmt.Sprint(" ", e.Status)
		}
		if e.Code != "" {
			w += " " + e.Code
		}
		if e.Connect {
			w += " connect"
		}
		if e.Ailing {
			w += " ailing"
		}
		if e.Sender {
			w += " sender"
		}
		words = append(words, w)
	}
	return words
}

func checkOutcomes(t *testing.T, got []Outcome, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, describe(got)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s%v", diff, got)
	}
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
		edit    func(*smtpSettings)
		tls     bool
		user    string
	}{
		{name: "clear"},
		{name: "no pipelining", options: upstreamtest.SMTPOptions{Extensions: []string{"8BITMIME"}}},
		{name: "no extensions", options: upstreamtest.SMTPOptions{Extensions: []string{}}},
		{name: "HELO only", options: upstreamtest.SMTPOptions{HeloOnly: true, Extensions: []string{}}},
		{name: "starttls", options: upstreamtest.SMTPOptions{TLS: "starttls"},
			edit: func(s *smtpSettings) { s.TLS = "starttls" }, tls: true},
		{name: "implicit", options: upstreamtest.SMTPOptions{TLS: "implicit"},
			edit: func(s *smtpSettings) { s.TLS = "implicit" }, tls: true},
		{name: "server_name", options: upstreamtest.SMTPOptions{TLS: "implicit"},
			edit: func(s *smtpSettings) { s.TLS, s.ServerName = "implicit", "localhost" }, tls: true},
		{name: "opportunistic with TLS", options: upstreamtest.SMTPOptions{TLS: "starttls"},
			edit: func(s *smtpSettings) { s.TLS, s.CAFile = "opportunistic", "" }, tls: true},
		{name: "opportunistic without TLS", edit: func(s *smtpSettings) { s.TLS = "opportunistic" }},
		{name: "auth plain", options: upstreamtest.SMTPOptions{TLS: "starttls", Users: map[string]string{"u": "pä ss"}},
			edit: func(s *smtpSettings) { s.TLS, s.Username, s.Password = "", "u", NewSecret("pä ss") }, tls: true, user: "u"},
		{name: "auth login over implicit", options: upstreamtest.SMTPOptions{TLS: "implicit", Users: map[string]string{"u": "p"}},
			edit: func(s *smtpSettings) {
				s.TLS, s.Auth, s.Username, s.Password = "implicit", "login", "u", NewSecret("p")
			}, tls: true, user: "u"},
		{name: "auth in clear on loopback", options: upstreamtest.SMTPOptions{Users: map[string]string{"u": "p"}},
			edit: func(s *smtpSettings) { s.Username, s.Password = "u", NewSecret("p") }, user: "u"},
		{name: "xoauth2", options: upstreamtest.SMTPOptions{TLS: "starttls", Users: map[string]string{"u": "token"}, Mechanisms: []string{"XOAUTH2"}},
			edit: func(s *smtpSettings) {
				s.TLS, s.Auth, s.Username, s.Password = "starttls", "xoauth2", "u", NewSecret("token")
			}, tls: true, user: "u"},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, test.options)
			u := openSMTP(t, relay, test.edit)
			for range 2 { // the second over the connection of the first
				out := u.Send(context.Background(), smtpMail(t, smtpTestMessage, "b@example.org", "c@example.org"))
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
			if string(got.Data) != smtpTestMessage {
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
		mail       Mail
		source     string
		params     []string
		from       string
		to         string
		toParams   []string
	}{
		{name: "plain", mail: Mail{From: "a@b", To: []Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=65"}, from: "a@b", to: "c@d"},
		{name: "null sender", mail: Mail{To: []Recipient{{Address: "c@d"}}}, params: []string{"SIZE=65"}, to: "c@d"},
		{name: "bare local part", mail: Mail{From: "root", To: []Recipient{{Address: "postmaster"}}},
			params: []string{"SIZE=65"}, from: "root", to: "postmaster"},
		{name: "quoted", mail: Mail{From: `"a> b\"<"@x`, To: []Recipient{{Address: `"@"@[127.0.0.1]`}}},
			params: []string{"SIZE=65"}, from: `"a> b\"<"@x`, to: `"@"@[127.0.0.1]`},
		{name: "dsn", mail: Mail{From: "a@b", Ret: "HDRS", EnvID: "id+1 =", To: []Recipient{{Address: "c@d",
			Notify: []string{"SUCCESS", "failure", "SUCCESS", "x\r\n"}, ORcpt: "rfc822;c+1@d"}}},
			params: []string{"SIZE=65", "RET=HDRS", "ENVID=id+2B1+20+3D"}, from: "a@b", to: "c@d",
			toParams: []string{"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;c+2B1@d"}},
		{name: "dsn never and nonsense", mail: Mail{From: "a@b", Ret: "ALL\r\n", EnvID: strings.Repeat("x", 101),
			To: []Recipient{{Address: "c@d", Notify: []string{"DELAY", "NEVER"}, ORcpt: "rfc822"}}},
			params: []string{"SIZE=65"}, from: "a@b", to: "c@d", toParams: []string{"NOTIFY=NEVER"}},
		{name: "dsn unknown to the relay", extensions: []string{"PIPELINING"}, mail: Mail{From: "a@b", Ret: "HDRS", EnvID: "1",
			To: []Recipient{{Address: "c@d", Notify: []string{"NEVER"}, ORcpt: "rfc822;c@d"}}}, from: "a@b", to: "c@d"},
		{name: "8-bit body", source: "Subject: x\r\n\r\nf\xfcr\r\n", mail: Mail{From: "a@b", To: []Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=19", "BODY=8BITMIME"}, from: "a@b", to: "c@d"},
		{name: "declared but 7-bit", mail: Mail{From: "a@b", EightBit: true, UTF8: true, To: []Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=65"}, from: "a@b", to: "c@d"},
		{name: "raw UTF-8 header", source: utf8Header, mail: Mail{From: "a@b", UTF8: true, To: []Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=44", "BODY=8BITMIME", "SMTPUTF8"}, from: "a@b", to: "c@d"},
		{name: "raw 8-bit header of old", source: utf8Header, mail: Mail{From: "a@b", To: []Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=44", "BODY=8BITMIME"}, from: "a@b", to: "c@d"},
		{name: "8-bit header of a part", source: "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Description: \xc3\xa4\r\n\r\na\r\n--x--\r\n",
			mail:   Mail{From: "a@b", UTF8: true, To: []Recipient{{Address: "c@d"}}},
			params: []string{"SIZE=87", "BODY=8BITMIME", "SMTPUTF8"}, from: "a@b", to: "c@d"},
		{name: "international recipient", mail: Mail{From: "a@b", To: []Recipient{{Address: "jürgen@bücher.example"}}},
			params: []string{"SIZE=65", "SMTPUTF8"}, from: "a@b", to: "jürgen@xn--bcher-kva.example"},
		{name: "international domains", extensions: []string{"PIPELINING"},
			mail: Mail{From: "a@bücher.example", To: []Recipient{{Address: "c@例え.テスト"}}}, from: "a@xn--bcher-kva.example", to: "c@xn--r8jz45g.xn--zckzah"},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: test.extensions})
			u := openSMTP(t, relay, nil)
			if test.source == "" {
				test.source = smtpTestMessage
			}
			test.mail.Message = parseMail(t, test.source)
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

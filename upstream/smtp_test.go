package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

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

func TestSMTPByteIdentity(t *testing.T) {
	big := bytes.Repeat([]byte("..dots\r\n.\r\n\x00\xff 8-bit and NUL\r\n"+strings.Repeat("long ", 2000)+"\r\n\r\n"), 200)
	for _, test := range []struct{ name, body, want string }{
		{"empty", "", ""},
		{"dots", ".\r\n..\r\n.a\r\n\r\n.", ".\r\n..\r\n.a\r\n\r\n.\r\n"},
		{"8-bit and NUL", "\xe4\x00\xff\r\n", "\xe4\x00\xff\r\n"},
		{"no final CRLF", "end", "end\r\n"},
		{"final CR", "end\r", "end\r\n"},
		{"blank lines at the end", "end\r\n\r\n\r\n", "end\r\n\r\n\r\n"},
		{"lone LF", "a\nb\n.\nc\n\n.\n", "a\r\nb\r\n.\r\nc\r\n\r\n.\r\n"},
		{"lone CR", "a\rb\r.\rc\r\r\n.\r.", "a\r\nb\r\n.\r\nc\r\n\r\n.\r\n.\r\n"},
		{"large", string(big), string(big)},
		{"large without CRLF", strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20) + "\r\n"},
		{"large of CRs", strings.Repeat("\r", 1<<20), strings.Repeat("\r\n", 1<<20)},
		{"large of dots", strings.Repeat(".\n", 1<<20), strings.Repeat(".\r\n", 1<<20)},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
			u := openSMTP(t, relay, nil)
			const head = "Subject: x\r\n  folded\r\nX-Odd : y\r\n\r\n"
			if out := u.Send(context.Background(), smtpMail(t, head+test.body, "b@example.org")); out[0].Err != nil {
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
		for _, source := range []string{smtpTestMessage + "hi" + end + second, "Subject: hi" + end + second} {
			if out := u.Send(context.Background(), smtpMail(t, source, "b@example.org")); out[0].Err != nil {
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
	for _, test := range []struct {
		name, source, want string
		keep               bool
	}{
		{"stripped", source, "Received: x\r\nFrom: a@b\r\nX-Other: kept\r\n\r\nBcc: in the body\r\n", false},
		{"kept", source, "Received: x\r\nFrom: a@b\r\nX-SMTPAPI: {}\r\nX-Mailgun-Tag: t\r\nX-SES-Configuration-Set: c\r\nX-MC-Tags: t\r\n" +
			"X-PM-Tag: t\r\nX-Other: kept\r\n\r\nBcc: in the body\r\n", true},
		{"behind a lone CR", "From: a@b\r\nX: 1\rBcc: hidden@x\rY: 2\r\n\r\nbody\r\n", "From: a@b\r\nX: 1\r\nY: 2\r\n\r\nbody\r\n", false},
		{"behind a lone LF", "From: a@b\nBcc: hidden@x\n\nbody", "From: a@b\r\n\r\nbody\r\n", false},
		{"header only", "From: a@b\r\nBcc: hidden@x", "From: a@b\r\n\r\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
			u := openSMTP(t, relay, func(s *smtpSettings) { s.PassControlHeaders = test.keep })
			if out := u.Send(context.Background(), smtpMail(t, test.source, "hidden@x")); out[0].Err != nil {
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

// brokenSource fails in its second half.
type brokenSource struct{ mime.Source }

func (s brokenSource) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s.Size()/2 {
		return 0, io.ErrClosedPipe
	}
	return s.Source.ReadAt(p, off)
}

func TestSMTPUnreadableMessage(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	for _, size := range []int{1000, 2 << 20} {
		m := smtpMail(t, smtpTestMessage+strings.Repeat("x", size), "b@example.org")
		m.Message.Source = brokenSource{m.Message.Source}
		checkOutcomes(t, u.Send(context.Background(), m), "temporary")
	}
	// The bytes go away between reading for the size and sending.
	m := smtpMail(t, smtpTestMessage+strings.Repeat("x", 2<<20), "b@example.org")
	relay = upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(step upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		if step.Stage == upstreamtest.SMTPMail {
			m.Message.Source = brokenSource{m.Message.Source}
		}
		return upstreamtest.SMTPReaction{}
	}})
	u = openSMTP(t, relay, nil)
	checkOutcomes(t, u.Send(context.Background(), m), "temporary")
	if n := relay.Count(); n != 0 {
		t.Errorf("%d cut messages were taken", n)
	}
}

func TestSMTPNoStall(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	u.Send(context.Background(), smtpMail(t, smtpTestMessage, "b@example.org"))
	start := time.Now()
	const n = 50
	for range n {
		u.Send(context.Background(), smtpMail(t, smtpTestMessage, "b@example.org"))
	}
	if each := time.Since(start) / n; each > 20*time.Millisecond {
		t.Errorf("%v for a message: delayed acknowledgement against Nagle takes 40 ms", each)
	}
}

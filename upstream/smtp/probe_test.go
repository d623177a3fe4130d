package smtp

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailhatch/test/freeport"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// findings writes findings as lines.
func findings(list []upstream.Finding) string {
	var b strings.Builder
	for _, f := range list {
		b.WriteString(string(f.Level) + " " + f.Name + ": " + f.Text + " | " + f.Hint + "\n")
	}
	return b.String()
}

func TestSMTPProbe(t *testing.T) {
	users := map[string]string{"u": "right"}
	other := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "implicit"})
	login := func(password string) func(*settings) {
		return func(s *settings) { s.TLS, s.Username, s.Password = "starttls", "u", upstream.NewSecret(password) }
	}
	starttls := upstreamtest.SMTPOptions{TLS: "starttls"}
	for _, test := range []struct {
		name    string
		options upstreamtest.SMTPOptions
		edit    func(*settings)
		want    []string
	}{
		{"in clear on this machine", upstreamtest.SMTPOptions{}, nil, []string{"ok reach: 127.0.0.1:", " answers", "ok tls: none, on this machine", "ok login: none", "ok ports: "}},
		{"login", upstreamtest.SMTPOptions{TLS: "starttls", Users: users}, login("right"), []string{"tls: TLS 1.3, certificate until ", "ok login: as u"}},
		{"implicit", upstreamtest.SMTPOptions{TLS: "implicit"}, func(s *settings) { s.TLS = "implicit" }, []string{"warn tls: TLS 1.3, certificate until ", "to renew it"}},
		{"wrong password", upstreamtest.SMTPOptions{TLS: "starttls", Users: users}, login("wrong"), []string{"fail login: 535 5.7.8", "look at username, password"}},
		{"opportunistic", starttls, func(s *settings) { s.TLS, s.CAFile = "opportunistic", "" }, []string{"warn tls: TLS 1.3, but the certificate is not checked"}},
		{"wrong name", starttls, func(s *settings) { s.TLS, s.ServerName = "starttls", "mail.example.com" }, []string{"fail tls: ", "server_name is the name"}},
		{"unknown authority", starttls, func(s *settings) { s.TLS, s.CAFile = "starttls", other.CAFile }, []string{"fail tls: ", "ca_file names the authority"}},
		{"no TLS there", upstreamtest.SMTPOptions{}, func(s *settings) { s.TLS = "starttls" }, []string{"fail reach: ", "look at host, port and tls"}},
		{"not now", upstreamtest.SMTPOptions{React: react(upstreamtest.SMTPGreeting, "", smtpReaction{Reply: "421 4.3.2 closed for the night"})}, nil,
			[]string{"fail reach: 421 4.3.2", "the relay does not take mail now"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, test.options)
			u := openSMTP(t, relay, test.edit)
			out := findings(u.probe(context.Background(), []int{freeport.Port(t)}))
			for _, want := range append(test.want, " refused, ", " open | ") {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if strings.Contains(out, "right") || strings.Contains(out, "wrong") && test.name == "wrong password" {
				t.Errorf("the password shows:\n%s", out)
			}
			if relay.Count() != 0 {
				t.Error("mail was sent")
			}
		})
	}
}

func TestSMTPProbePorts(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, func(s *settings) { s.Port = freeport.Port(t) })
	if out := findings(u.probe(context.Background(), []int{relay.Port})); !strings.Contains(out, ": refused | port ") || !strings.Contains(out, "of the relay can be reached") {
		t.Error(out)
	}
	if out := findings(u.probe(context.Background(), nil)); !strings.Contains(out, "no relay listens there") {
		t.Error(out)
	}
	u.host = "host.invalid"
	if out := findings(u.probe(context.Background(), nil)); !strings.Contains(out, "fail reach: host.invalid has no address") || strings.Count(out, "lookup") != 1 {
		t.Error(out)
	}
	// A firewall answers nothing: here the time is over at once.
	u.host, u.port = "127.0.0.1", 587
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out := findings(u.Probe(ctx, nil)); !strings.Contains(out, "fail reach: 127.0.0.1:587: no answer | 587 blocked") || !strings.Contains(out, "use an API upstream") ||
		!strings.Contains(out, "ok ports: 25 no answer, 465 no answer, 587 no answer, 2525 no answer") {
		t.Error(out)
	}
}

func TestSMTPProbeWords(t *testing.T) {
	u := &relay{host: "smtp.example.com", port: 25}
	if f := u.failure(x509.CertificateInvalidError{Reason: x509.Expired}); f.Name != "tls" || !strings.Contains(f.Hint, "clock") {
		t.Errorf("%+v", f)
	}
	if f := u.failure(errors.Join(syscall.EPIPE)); f.Name != "reach" || f.Level != upstream.Fail {
		t.Errorf("%+v", f)
	}
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "starttls"})
	secure := openSMTP(t, relay, func(s *settings) { s.TLS = "starttls" })
	c, err := secure.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.quit(secure.timeout)
	if f := secure.tlsFinding(c, time.Now().Add(-365*24*time.Hour)); f.Level != upstream.Fine {
		t.Errorf("%+v", f)
	}
	clear, err := openSMTP(t, upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{}), nil).dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer clear.quit(secure.timeout)
	if f := u.tlsFinding(clear, time.Now()); f.Level != upstream.Warn || !strings.Contains(f.Text, "in clear") {
		t.Errorf("%+v", f)
	}
}

package smtp

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"mailhatch/test/freeport"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

func TestSMTPDialFailures(t *testing.T) {
	port := freeport.Port(t)
	other := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "implicit"})
	users := map[string]string{"u": "right"}
	login := func(password string) func(*settings) {
		return func(s *settings) { s.TLS, s.Username, s.Password = "starttls", "u", upstream.NewSecret(password) }
	}
	for _, test := range []struct {
		name    string
		options upstreamtest.SMTPOptions
		edit    func(*settings)
		want    string
	}{
		{"refused", upstreamtest.SMTPOptions{}, func(s *settings) { s.Port = port }, "temporary connect"},
		{"no such host", upstreamtest.SMTPOptions{}, func(s *settings) { s.Host = "host.invalid" }, "temporary connect"},
		{"no STARTTLS", upstreamtest.SMTPOptions{}, func(s *settings) { s.TLS = "starttls" }, "temporary connect"},
		{"STARTTLS 454", upstreamtest.SMTPOptions{TLS: "starttls", React: react(upstreamtest.SMTPStartTLS, "", smtpReaction{Reply: "454 4.7.0 not now"})},
			func(s *settings) { s.TLS = "starttls" }, "temporary 454 4.7.0 connect"},
		{"unknown authority", upstreamtest.SMTPOptions{TLS: "starttls"},
			func(s *settings) { s.TLS, s.CAFile = "starttls", other.CAFile }, "temporary connect"},
		{"unknown authority, implicit", upstreamtest.SMTPOptions{TLS: "implicit"},
			func(s *settings) { s.TLS, s.CAFile = "implicit", "" }, "temporary connect"},
		{"wrong name", upstreamtest.SMTPOptions{TLS: "starttls"},
			func(s *settings) { s.TLS, s.ServerName = "starttls", "mail.example.com" }, "temporary connect"},
		{"TLS where none is", upstreamtest.SMTPOptions{}, func(s *settings) { s.TLS = "implicit" }, "temporary connect"},
		{"silent greeting", upstreamtest.SMTPOptions{React: react(upstreamtest.SMTPGreeting, "", smtpReaction{Stall: true})},
			func(s *settings) { s.Timeout = upstream.Duration{Duration: 50 * time.Millisecond} }, "temporary connect"},
		{"endless greeting", upstreamtest.SMTPOptions{React: react(upstreamtest.SMTPGreeting, "", smtpReaction{Reply: strings.Repeat("220-more\n", 200_000) + "220 end"})},
			nil, "temporary connect"},
		{"wrong password", upstreamtest.SMTPOptions{TLS: "starttls", Users: users}, login("wrong"), "account 535 5.7.8"},
		{"AUTH 454", upstreamtest.SMTPOptions{TLS: "starttls", Users: users, React: react(upstreamtest.SMTPAuth, "", smtpReaction{Reply: "454 4.7.0 try later"})},
			login("right"), "temporary 454 4.7.0 connect"},
		{"AUTH throttled", upstreamtest.SMTPOptions{TLS: "starttls", Users: users, React: react(upstreamtest.SMTPAuth, "", smtpReaction{Reply: "454 4.7.0 Throttling failure"})},
			login("right"), "throttled 454 4.7.0"},
		{"AUTH dropped", upstreamtest.SMTPOptions{TLS: "starttls", Users: users, React: react(upstreamtest.SMTPAuth, "", smtpReaction{Drop: true})},
			login("right"), "temporary connect"},
		{"no AUTH offered", upstreamtest.SMTPOptions{TLS: "starttls"}, login("right"), "account"},
		{"no mechanism in common", upstreamtest.SMTPOptions{TLS: "starttls", Users: users, Mechanisms: []string{"GSSAPI"}}, login("right"), "account"},
		{"SCRAM answered with nonsense", upstreamtest.SMTPOptions{TLS: "starttls", Users: users, Mechanisms: []string{"SCRAM-SHA-256"},
			React: react(upstreamtest.SMTPAuth, "", smtpReaction{})}, login("right"), "account 504 5.5.4"},
		{"AUTH missing in the config", upstreamtest.SMTPOptions{Users: users}, nil, "account 530 5.7.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, test.options)
			u := openSMTP(t, relay, test.edit)
			out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x"))
			upstreamtest.CheckOutcomes(t, out, test.want)
			if out[0].Err != nil && strings.Contains(out[0].Err.Error(), "right") {
				t.Errorf("the password shows: %v", out[0].Err)
			}
			if err := u.Check(context.Background()); (err == nil) != (test.name == "AUTH missing in the config") {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestSMTPSecretNotInErrors(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Users: map[string]string{"u": "hunter2"},
		React: react(upstreamtest.SMTPAuth, "", smtpReaction{Reply: "535 5.7.8 hunter2 aHVudGVyMg== AHUAaHVudGVyMg== \x1b[2J"})})
	u := openSMTP(t, relay, func(s *settings) { s.Username, s.Password = "u", upstream.NewSecret("hunter2") })
	out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x"))
	upstreamtest.CheckOutcomes(t, out, "account 535 5.7.8")
	if text := out[0].Err.Error(); !strings.Contains(text, "*** *** *** [2J") {
		t.Error(text)
	}
}

func TestSMTPContextEnds(t *testing.T) {
	for _, test := range []struct {
		stage smtpStage
		want  string
	}{
		{upstreamtest.SMTPGreeting, "temporary connect"},
		{upstreamtest.SMTPEhlo, "temporary connect"},
		{upstreamtest.SMTPAuth, "temporary connect"},
		{upstreamtest.SMTPMail, "temporary connect"},
		{upstreamtest.SMTPData, "temporary"},
		{upstreamtest.SMTPDot, "uncertain"},
	} {
		t.Run(string(test.stage), func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Users: map[string]string{"u": "p"}, Extensions: []string{}, React: func(step smtpStep) smtpReaction {
				if step.Stage == test.stage {
					cancel()
				}
				return react(test.stage, "", smtpReaction{Stall: true})(step)
			}})
			u := openSMTP(t, relay, func(s *settings) { s.Username, s.Password = "u", upstream.NewSecret("p") })
			start := time.Now()
			out := u.Send(ctx, upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x"))
			upstreamtest.CheckOutcomes(t, out, test.want)
			if !errors.Is(out[0].Err, context.Canceled) {
				t.Error(out[0].Err)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("returned after %v", took)
			}
		})
	}
	u := openSMTP(t, upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{}), nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	upstreamtest.CheckOutcomes(t, u.Send(ctx, upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "temporary connect")
}

// hasty is the timeout of a relay that falls silent at one stage: on a busy machine, too, it is enough for the others.
var hasty = upstream.Duration{Duration: 2 * time.Second}

func TestSMTPTimeouts(t *testing.T) {
	for stage, want := range map[smtpStage]string{
		upstreamtest.SMTPMail: "temporary connect", upstreamtest.SMTPData: "temporary", upstreamtest.SMTPDot: "uncertain",
	} {
		t.Run(string(stage), func(t *testing.T) {
			t.Parallel()
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: react(stage, "", smtpReaction{Stall: true})})
			u := openSMTP(t, relay, func(s *settings) { s.Timeout = hasty })
			out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x"))
			upstreamtest.CheckOutcomes(t, out, want)
			if !errors.Is(out[0].Err, os.ErrDeadlineExceeded) {
				t.Error(out[0].Err)
			}
		})
	}
	u := openSMTP(t, upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{}), nil)
	if u.timeout != 30*time.Second || u.finalTimeout != 10*time.Minute {
		t.Errorf("defaults %v %v", u.timeout, u.finalTimeout)
	}
}

func TestSMTPMechanisms(t *testing.T) {
	for _, test := range []struct {
		auth, tls string
		offered   []string
		line      string // of the AUTH command, "" when none is sent
	}{
		{"auto", "starttls", []string{"CRAM-MD5", "SCRAM-SHA-256", "LOGIN", "PLAIN"}, "AUTH PLAIN AHUAcA=="},
		{"auto", "none", []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1"}, "AUTH SCRAM-SHA-1"},
		{"auto", "none", []string{"plain", "cram-md5"}, "AUTH CRAM-MD5"},
		{"auto", "starttls", []string{"XOAUTH2"}, ""},
		{"plain", "starttls", []string{"LOGIN"}, ""},
		{"cram-md5", "starttls", []string{"PLAIN", "CRAM-MD5"}, "AUTH CRAM-MD5"},
		{"scram-sha-1", "starttls", []string{"PLAIN", "SCRAM-SHA-1"}, "AUTH SCRAM-SHA-1"},
		{"scram-sha-256", "starttls", []string{"PLAIN", "SCRAM-SHA-256"}, "AUTH SCRAM-SHA-256"},
		{"scram-sha-256-plus", "starttls", []string{"SCRAM-SHA-256-PLUS"}, "AUTH SCRAM-SHA-256-PLUS"},
		{"scram-sha-256-plus", "none", []string{"SCRAM-SHA-256-PLUS"}, ""},
	} {
		t.Run(test.auth+" "+test.tls, func(t *testing.T) {
			lines := make(chan string, 10)
			options := upstreamtest.SMTPOptions{Users: map[string]string{"u": "p"}, Mechanisms: test.offered, React: func(step smtpStep) smtpReaction {
				if step.Stage == upstreamtest.SMTPAuth {
					lines <- step.Line
					return smtpReaction{Reply: "535 5.7.8 no"}
				}
				return smtpReaction{}
			}}
			if test.tls != "none" {
				options.TLS = test.tls
			}
			relay := upstreamtest.NewSMTP(t, options)
			u := openSMTP(t, relay, func(s *settings) {
				s.TLS, s.Auth, s.Username, s.Password = test.tls, test.auth, "u", upstream.NewSecret("p")
			})
			var e *upstream.Error
			if err := u.Check(context.Background()); !errors.As(err, &e) || e.Class != upstream.Account {
				t.Errorf("Check: %v", err)
			}
			close(lines)
			if got := <-lines; got != test.line {
				t.Errorf("%q, want %q", got, test.line)
			}
		})
	}
}

func TestSMTPNoPasswordInClear(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Users: map[string]string{"u": "p"}})
	u := openSMTP(t, relay, func(s *settings) { s.Username, s.Password = "u", upstream.NewSecret("p") })
	conn, err := u.dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.quit(time.Second)
	conn.raw.Conn = farConn{conn.raw.Conn} // as if "localhost" were elsewhere
	var e *upstream.Error
	if _, err := u.login(t.Context(), conn); !errors.As(err, &e) || e.Class != upstream.Account {
		t.Errorf("%v", err)
	}
}

type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)} }

// TestSMTPBind: an address that this machine does not have is our trouble, which waits.
func TestSMTPBind(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	for bind, want := range map[string]string{"127.0.0.1": "ok FAKE1", "192.0.2.7": "temporary connect", "::1": "temporary connect"} {
		u := openSMTP(t, relay, func(s *settings) { s.Bind = bind })
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), want)
	}
	if _, err := (&settings{Host: "relay.example", Bind: "eth0"}).Open(upstream.Env{}); err == nil || !strings.Contains(err.Error(), "bind") {
		t.Error(err)
	}
}

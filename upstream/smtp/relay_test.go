package smtp

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// goSMTPRelay is a relay that shares no code with ours.
type goSMTPRelay struct {
	mu    sync.Mutex
	mails []goSMTPMail
}

type goSMTPMail struct {
	from    string
	options smtp.MailOptions
	to      []string
	rcpt    []smtp.RcptOptions
	data    []byte
}

func (r *goSMTPRelay) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &goSMTPSession{relay: r}, nil
}

type goSMTPSession struct {
	relay *goSMTPRelay
	user  string
	mail  goSMTPMail
}

func (s *goSMTPSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *goSMTPSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "u" || password != "p" {
			return errors.New("no")
		}
		s.user = user
		return nil
	}), nil
}

func (s *goSMTPSession) Reset()        { s.mail = goSMTPMail{} }
func (s *goSMTPSession) Logout() error { return nil }

func (s *goSMTPSession) Mail(from string, o *smtp.MailOptions) error {
	if s.user == "" {
		return smtp.ErrAuthRequired
	}
	s.mail = goSMTPMail{from: from, options: *o}
	return nil
}

func (s *goSMTPSession) Rcpt(to string, o *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "bad") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.mail.to, s.mail.rcpt = append(s.mail.to, to), append(s.mail.rcpt, *o)
	return nil
}

func (s *goSMTPSession) Data(r io.Reader) (err error) {
	if s.mail.data, err = io.ReadAll(r); err != nil {
		return err
	}
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.relay.mails = append(s.relay.mails, s.mail)
	return nil
}

// newGoSMTP starts such a relay with STARTTLS or implicit TLS and opens an upstream to it.
func newGoSMTP(t *testing.T, mode string) (*goSMTPRelay, *relay) {
	t.Helper()
	caFile, config := upstreamtest.Certificate(t)
	goRelay := &goSMTPRelay{}
	server := smtp.NewServer(goRelay)
	server.Domain, server.TLSConfig = "relay.test", config
	server.EnableDSN, server.EnableSMTPUTF8, server.MaxMessageBytes, server.MaxLineLength = true, true, 10<<20, 0
	server.MaxRecipients = 4 // go-smtp announces it (RFC 9422)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if mode == tlsImplicit {
		listener = tls.NewListener(listener, config)
	}
	var work sync.WaitGroup
	work.Go(func() { _ = server.Serve(listener) })
	s := &settings{Host: "localhost", Port: port, TLS: mode, CAFile: caFile, Username: "u", Password: upstream.NewSecret("p")}
	u, err := s.Open(upstream.Env{Hostname: "gateway.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = u.(*relay).Close()
		_ = server.Close()
		work.Wait()
	})
	return goRelay, u.(*relay)
}

func TestSMTPWithGoSMTP(t *testing.T) {
	body := strings.Repeat(".dots\r\n..\r\nb\xfc\x00yte\r\n"+strings.Repeat("long", 249)+"\r\n", 1500)
	for _, mode := range []string{tlsStart, tlsImplicit} {
		t.Run(mode, func(t *testing.T) {
			relay, u := newGoSMTP(t, mode)
			for _, source := range []string{"Subject: small\r\n\r\n.\r\n\xff\r\n", "Subject: large\r\n\r\n" + body} {
				m := upstreamtest.NewMail(t, source, "a@x", "bad@x", "b@x", "c@x", "bad2@x", "d@x", "e@x")
				m.Ret, m.EnvID, m.To[0].Notify, m.To[0].ORcpt = "FULL", "id 1", []string{"SUCCESS"}, "rfc822;a+1@x"
				upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "ok", "permanent 550 5.1.1", "ok", "ok", "permanent 550 5.1.1", "ok", "ok")
				var to []string
				for _, got := range relay.mails {
					to = append(to, got.to...)
					if sha256.Sum256(got.data) != sha256.Sum256([]byte(source)) {
						t.Errorf("%d bytes came of %d", len(got.data), len(source))
					}
					if got.from != "a@example.com" || got.options.Size != int64(len(source)) || got.options.Body != smtp.Body8BitMIME ||
						got.options.Return != smtp.DSNReturnFull || got.options.EnvelopeID != "id 1" || got.options.UTF8 {
						t.Errorf("MAIL %s %+v", got.from, got.options)
					}
				}
				if strings.Join(to, " ") != "a@x b@x c@x d@x e@x" {
					t.Errorf("recipients %s", to)
				}
				if r := relay.mails[0].rcpt[0]; len(r.Notify) != 1 || r.Notify[0] != smtp.DSNNotifySuccess || r.OriginalRecipient != "a+1@x" {
					t.Errorf("RCPT %+v", r)
				}
				relay.mails = nil
			}
		})
	}
}

func TestSMTPKeepsDKIM(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var signed bytes.Buffer
	const source = "From: a@example.com\r\nTo: Ann  <b@example.org>\r\nSubject:  odd   spacing\r\n\tand folding \r\n" +
		"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n.dot\r\ntrailing space \r\n\r\nb\xfc\r\n\r\n\r\n"
	options := &dkim.SignOptions{
		Domain: "example.com", Selector: "s", Signer: private,
		HeaderCanonicalization: dkim.CanonicalizationSimple, BodyCanonicalization: dkim.CanonicalizationSimple,
		HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID", "Cc"},
	}
	if err := dkim.Sign(&signed, strings.NewReader(source), options); err != nil {
		t.Fatal(err)
	}
	relay, u := newGoSMTP(t, tlsStart)
	m := upstreamtest.NewMail(t, "Received: by gateway\r\nBcc: hidden@x\r\nX-Mailgun-Tag: x\r\n"+signed.String(), "b@example.org")
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "ok")
	got := relay.mails[0].data
	if !bytes.Equal(got, []byte("Received: by gateway\r\n"+signed.String())) {
		t.Errorf("%q", got)
	}
	verified, err := dkim.VerifyWithOptions(bytes.NewReader(got), &dkim.VerifyOptions{LookupTXT: func(string) ([]string, error) {
		return []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}, nil
	}})
	if err != nil || len(verified) != 1 || verified[0].Err != nil {
		t.Errorf("%v %v", verified, err)
	}
}

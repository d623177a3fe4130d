package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
)

// relay is a mail server by go-smtp with STARTTLS and AUTH, as providers of relays have them.
type relay struct {
	port   int
	caFile string

	mu   sync.Mutex
	mail []relayed
}

type relayed struct {
	from string
	to   []string
	data string
	tls  bool
	user string
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	r := &relay{}
	cert, caFile := testCertificate(t)
	r.caFile = caFile
	s := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		_, secure := c.TLSConnectionState()
		return &relaySession{relay: r, mail: relayed{tls: secure}}, nil
	}))
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Domain = "relay.example"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.port = l.Addr().(*net.TCPAddr).Port
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return r
}

type relaySession struct {
	relay *relay
	mail  relayed
}

func (s *relaySession) AuthMechanisms() []string {
	if !s.mail.tls {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *relaySession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "app" || password != "s3cret" {
			return errors.New("wrong")
		}
		s.mail.user = user
		return nil
	}), nil
}

func (s *relaySession) Mail(from string, _ *gosmtp.MailOptions) error {
	if s.mail.user == "" {
		return &gosmtp.SMTPError{Code: 530, EnhancedCode: gosmtp.EnhancedCode{5, 7, 0}, Message: "log in first"}
	}
	s.mail.from, s.mail.to = from, nil
	return nil
}

func (s *relaySession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *relaySession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mail.data = string(b)
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.relay.mail = append(s.relay.mail, s.mail)
	return nil
}

func (s *relaySession) Reset()        { s.mail.to = nil }
func (s *relaySession) Logout() error { return nil }

// check compares the only mail that the relay has with what was sent: everything after the header must
// be the same bytes.
func (r *relay) check(t *testing.T, sent string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mail) != 1 {
		t.Fatalf("%d mails at the relay, want 1", len(r.mail))
	}
	m := r.mail[0]
	r.mail = nil
	if !m.tls || m.user != "app" || m.from != "app@billing.example.com" {
		t.Errorf("tls %v, user %q, from %q", m.tls, m.user, m.from)
	}
	to := slices.Clone(m.to)
	slices.Sort(to)
	if !slices.Equal(to, fullTo) {
		t.Errorf("recipients %q, want %q", to, fullTo)
	}
	header, body, _ := strings.Cut(m.data, "\r\n\r\n")
	wantHeader, wantBody, _ := strings.Cut(sent, "\r\n\r\n")
	// swaks adds an empty line at the end.
	if strings.TrimRight(body, "\r\n") != strings.TrimRight(wantBody, "\r\n") {
		t.Error("the body is not the same bytes")
	}
	if strings.Contains(header, "secret@") {
		t.Errorf("the Bcc recipient is in the header:\n%s", header)
	}
	for field := range strings.SplitSeq(wantHeader, "\r\n") {
		if !strings.HasPrefix(field, "Bcc:") && !strings.HasPrefix(field, "X-Via:") && !strings.Contains(header+"\r\n", field+"\r\n") {
			t.Errorf("header field %q is not there as it was", field)
		}
	}
	if !strings.HasPrefix(header, "Received: from ") {
		t.Errorf("no trace field at the top:\n%s", header)
	}
}

func wrap64(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var out []string
	for len(s) > 76 {
		out = append(out, s[:76])
		s = s[76:]
	}
	return strings.Join(append(out, s), "\n")
}

// testCertificate makes a certificate for loopback and gives the file with its authority.
func testCertificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	cert, certPEM, _ := makeCertificate(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return cert, file
}

func makeCertificate(t *testing.T) (cert tls.Certificate, certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	cert, err = tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert, certPEM, keyPEM
}

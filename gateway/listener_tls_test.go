package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// secure makes the client shake hands.
func (p *talker) secure(config *tls.Config) error {
	c := tls.Client(p.conn, config)
	if err := c.Handshake(); err != nil {
		return err
	}
	*p = *newTalker(p.t, c)
	return nil
}

// secured is a talker that has said STARTTLS.
func secured(t *testing.T, addr string, config *tls.Config) (*talker, error) {
	t.Helper()
	p := dialTalker(t, "tcp", addr)
	p.want("220")
	p.talk("EHLO me", "250", "STARTTLS", "220")
	return p, p.secure(config)
}

func TestSelfSigned(t *testing.T) {
	h := newHouse(t, "[[listener]]\naddress = \"ADDR\"\ntls = \"starttls\"\nself_signed = true"+holding)
	file := filepath.Join(h.cfg.StateDir, "self-signed.pem")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	for _, name := range []string{"gw.example.com", "localhost", "127.0.0.1"} {
		p, err := secured(t, h.addr, &tls.Config{ServerName: name, RootCAs: pool})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.talk(greet...)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h.start()
	if again, err := os.ReadFile(file); err != nil || string(again) != string(text) {
		t.Errorf("the certificate was made anew (%v)", err)
	}
}

func TestTLSMin(t *testing.T) {
	for min, versions := range map[string]map[uint16]bool{
		"1.0": {tls.VersionTLS10: true, tls.VersionTLS11: true, tls.VersionTLS12: true, tls.VersionTLS13: true},
		"1.1": {tls.VersionTLS10: false, tls.VersionTLS11: true},
		"":    {tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true},
		"1.3": {tls.VersionTLS12: false, tls.VersionTLS13: true},
	} {
		keys := "tls = \"implicit\"\nself_signed = true\n"
		if min != "" {
			keys += fmt.Sprintf("tls_min = %q\n", min)
		}
		h := newHouse(t, "[[listener]]\naddress = \"ADDR\"\n"+keys+holding)
		for v, ok := range versions {
			p := dialTalker(t, "tcp", h.addr)
			err := p.secure(&tls.Config{MinVersion: v, MaxVersion: v, InsecureSkipVerify: true})
			if (err == nil) != ok {
				t.Errorf("tls_min %q, %s: %v", min, tls.VersionName(v), err)
			}
			if err == nil {
				p.want("220")
			}
		}
	}
}

// What knows no TLS 1.2 often knows nothing but RSA, for the key exchange too.
func TestSelfSignedForOldDevices(t *testing.T) {
	h := newHouse(t, "[[listener]]\naddress = \"ADDR\"\ntls = \"implicit\"\nself_signed = true\ntls_min = \"1.0\"\n"+holding)
	for _, c := range []struct {
		suite, version uint16
		ok             bool
	}{
		{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.VersionTLS10, true},
		{tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.VersionTLS10, true},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.VersionTLS10, true},
		{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.VersionTLS10, true},
		{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.VersionTLS11, true},
		{tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.VersionTLS12, true},
		{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.VersionTLS12, true},
		{tls.TLS_RSA_WITH_RC4_128_SHA, tls.VersionTLS10, false},
	} {
		p := dialTalker(t, "tcp", h.addr)
		err := p.secure(&tls.Config{MinVersion: c.version, MaxVersion: c.version, CipherSuites: []uint16{c.suite}, InsecureSkipVerify: true})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", tls.CipherSuiteName(c.suite), err)
		}
		if err == nil {
			p.want("220")
		}
	}
	if st, err := os.Stat(filepath.Join(h.cfg.StateDir, "self-signed-rsa.pem")); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st, err)
	}
}

// issue makes a certificate that ca signs.
func issue(t *testing.T, ca tls.Certificate, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if template.ExtKeyUsage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, &key.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func named(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}}
}

// A certificate of the authority is as good as a password, and allow_from holds for it too.
func TestClientCertificates(t *testing.T) {
	ca, caPEM, _ := makeCertificate(t)
	stranger, _, _ := makeCertificate(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, file, string(caPEM))
	h := newHouse(t, fmt.Sprintf(`[[listener]]
address = "ADDR"
tls = "starttls"
self_signed = true
auth = "required"
client_ca_file = %q
[[listener.user]]
name = "printer"
allow_from = ["*@printers.example.com"]
`, file)+holding)
	uri, _ := url.Parse("spiffe://example.com/app")
	server := named("server")
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for name, tc := range map[string]struct {
		certs []tls.Certificate
		reply string
		user  string
	}{
		"none":               {nil, "530 5.7.0", ""},
		"common name":        {[]tls.Certificate{issue(t, ca, named("app"))}, "250", "app"},
		"mail address":       {[]tls.Certificate{issue(t, ca, &x509.Certificate{EmailAddresses: []string{"app@example.com"}, DNSNames: []string{"x"}})}, "250", "app@example.com"},
		"host name":          {[]tls.Certificate{issue(t, ca, &x509.Certificate{DNSNames: []string{"app.example.com"}})}, "250", "app.example.com"},
		"URI":                {[]tls.Certificate{issue(t, ca, &x509.Certificate{URIs: []*url.URL{uri}})}, "250", "spiffe://example.com/app"},
		"no name":            {[]tls.Certificate{issue(t, ca, named(""))}, "530 5.7.0", ""},
		"a socket's name":    {[]tls.Certificate{issue(t, ca, named("uid:root"))}, "530 5.7.0", ""},
		"control characters": {[]tls.Certificate{issue(t, ca, named("a\r\nb"))}, "530 5.7.0", ""},
		"allow_from":         {[]tls.Certificate{issue(t, ca, named("printer"))}, "553 5.7.1 printer may not send as <x@example.com>", ""},
		"another authority":  {[]tls.Certificate{issue(t, stranger, named("app"))}, "", ""},
		"for servers":        {[]tls.Certificate{issue(t, ca, server)}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(h.heldMail())
			p, err := secured(t, h.addr, &tls.Config{InsecureSkipVerify: true, Certificates: tc.certs})
			if err != nil {
				t.Fatal(err)
			}
			if tc.reply == "" { // in TLS 1.3 the client hears of it when it reads
				fmt.Fprint(p.conn, "EHLO me\r\n")
				p.want("")
				return
			}
			p.talk("EHLO me", "250", "MAIL FROM:<x@example.com>", tc.reply)
			if tc.user == "" {
				return
			}
			p.talk("RCPT TO:<a@example.org>", "250", "DATA", "354", "a: b\r\n.", "250")
			mail := h.heldMail()
			if len(mail) != before+1 || mail[before].Envelope.Client.User != tc.user {
				t.Errorf("%d messages, user %q", len(mail)-before, mail[len(mail)-1].Envelope.Client.User)
			}
		})
	}
}

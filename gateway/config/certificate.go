package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// Encryption is how an address speaks TLS, and who it says it is.
type Encryption struct {
	TLS        string `toml:"tls"`     // none | starttls | implicit
	TLSMin     string `toml:"tls_min"` // 1.0 | 1.1 | 1.2 | 1.3
	CertFile   string `toml:"cert_file"`
	KeyFile    string `toml:"key_file"`
	SelfSigned bool   `toml:"self_signed"` // make a certificate in state_dir when there is none
}

func noEncryption() Encryption { return Encryption{TLS: "none", TLSMin: "1.2"} }

// encryption checks the TLS of the table at path, which may have one of modes beside none.
func (c *checker) encryption(path string, e *Encryption, modes ...string) {
	c.oneOf(path+".tls", e.TLS, append([]string{"none"}, modes...)...)
	c.oneOf(path+".tls_min", e.TLSMin, "1.0", "1.1", "1.2", "1.3")
	if c.isBad(path + ".tls") {
		return
	}
	if e.TLS == "none" {
		for _, key := range []string{"cert_file", "key_file", "self_signed", "client_ca_file", "tls_min"} {
			if _, given := c.lines[path+"."+key]; given && (key != "self_signed" || e.SelfSigned) {
				c.report(path+"."+key, `does nothing with tls = "none"`, "set tls = "+either(modes))
			}
		}
		return
	}
	if e.SelfSigned {
		if e.CertFile != "" || e.KeyFile != "" {
			c.report(path+".self_signed", "does nothing beside cert_file and key_file", "leave out one or the other")
		}
		return
	}
	for _, f := range []struct {
		key   string
		value *string
	}{{"cert_file", &e.CertFile}, {"key_file", &e.KeyFile}} {
		if *f.value == "" {
			c.report(path+"."+f.key, fmt.Sprintf("is missing: tls = %q needs it", e.TLS), "self_signed = true makes a certificate for the first start")
			continue
		}
		*f.value = resolvePath(c.File, *f.value)
	}
	if e.CertFile == "" || e.KeyFile == "" {
		return
	}
	if _, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile); err != nil {
		c.report(path+".cert_file", "cannot be used: "+err.Error(), "")
	}
}

// clientCA checks who vouches for clients.
func (c *checker) clientCA(path string, l *Listener) {
	if l.ClientCAFile == "" || l.TLS == "none" {
		return
	}
	l.ClientCAFile = resolvePath(c.File, l.ClientCAFile)
	if _, err := ClientCAs(l.ClientCAFile); err != nil {
		c.report(path+".client_ca_file", "cannot be used: "+err.Error(), "name the file of the authority that issues certificates to your own clients")
	}
}

// maxClientCAs is far beyond what one site issues with, and far below a bundle of public authorities.
const maxClientCAs = 20

// ClientCAs reads a PEM file of authorities.
func ClientCAs(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	n := 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(cert)
		n++
	}
	switch {
	case n == 0:
		return nil, errors.New("it contains no certificate")
	case n > maxClientCAs:
		return nil, fmt.Errorf("%d authorities look like a bundle of public ones: anyone with a certificate of one of them could log in", n)
	}
	return pool, nil
}

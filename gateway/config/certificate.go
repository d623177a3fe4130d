package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// certificate checks with what a listener shows who it is.
func (c *checker) certificate(path string, l *Listener) {
	c.oneOf(path+".tls_min", l.TLSMin, "1.0", "1.1", "1.2", "1.3")
	if c.isBad(path + ".tls") {
		return
	}
	if l.TLS == "none" {
		for _, key := range []string{"cert_file", "key_file", "self_signed", "client_ca_file", "tls_min"} {
			if _, given := c.lines[path+"."+key]; given && (key != "self_signed" || l.SelfSigned) {
				c.report(path+"."+key, `does nothing with tls = "none"`, `set tls = "starttls" or "implicit"`)
			}
		}
		return
	}
	if l.SelfSigned {
		if l.CertFile != "" || l.KeyFile != "" {
			c.report(path+".self_signed", "does nothing beside cert_file and key_file", "leave out one or the other")
		}
		return
	}
	for _, f := range []struct {
		key   string
		value *string
	}{{"cert_file", &l.CertFile}, {"key_file", &l.KeyFile}} {
		if *f.value == "" {
			c.report(path+"."+f.key, fmt.Sprintf("is missing: tls = %q needs it", l.TLS), "self_signed = true makes a certificate for the first start")
			continue
		}
		*f.value = resolvePath(c.File, *f.value)
	}
	if l.CertFile == "" || l.KeyFile == "" {
		return
	}
	if _, err := tls.LoadX509KeyPair(l.CertFile, l.KeyFile); err != nil {
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

package upstream

import (
	"crypto/x509"
	"net/netip"
	"os"
	"strings"
)

// RootCAs returns the machine's authorities together with those of ca_file; nil, which means the machine's,
// without a file. Its errors are *KeyErrors.
func RootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	const hint = "name a file of certificates in PEM form"
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, &KeyError{Key: "ca_file", Problem: "cannot be read: " + err.Error(), Hint: hint}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &KeyError{Key: "ca_file", Problem: "has no certificate in PEM form", Hint: hint}
	}
	return pool, nil
}

// IsLoopback reports whether a host, by name or address, is this machine.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

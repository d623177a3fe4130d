package listen

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"mailhatch/gateway/config"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TLS reads the certificates of an address.
func TLS(cfg *config.Config, e *config.Encryption, log *slog.Logger) (*tls.Config, error) {
	certFile, keyFile := e.CertFile, e.KeyFile
	if e.SelfSigned {
		name := selfSignedFile
		if tlsVersion(e.TLSMin) < tls.VersionTLS12 {
			name = selfSignedRSA
		}
		file, err := selfSigned(cfg.StateDir, name, cfg.Hostname)
		if err != nil {
			return nil, fmt.Errorf("self_signed: %w", err)
		}
		certFile, keyFile = file, file
	}
	cert, err := newCertificate(certFile, keyFile, log)
	if err != nil {
		return nil, err
	}
	tc := &tls.Config{MinVersion: tlsVersion(e.TLSMin), GetCertificate: cert.get}
	if tc.MinVersion < tls.VersionTLS12 {
		tc.CipherSuites = oldCipherSuites()
	}
	return tc, nil
}

// tlsConfig reads the certificates of a listener.
func tlsConfig(cfg *config.Config, lc *config.Listener, log *slog.Logger) (*tls.Config, error) {
	tc, err := TLS(cfg, &lc.Encryption, log)
	if err != nil || lc.ClientCAFile == "" {
		return tc, err
	}
	if tc.ClientCAs, err = config.ClientCAs(lc.ClientCAFile); err != nil {
		return nil, fmt.Errorf("client_ca_file: %w", err)
	}
	tc.ClientAuth = tls.VerifyClientCertIfGiven
	return tc, nil
}

func tlsVersion(s string) uint16 {
	switch s {
	case "1.0":
		return tls.VersionTLS10
	case "1.1":
		return tls.VersionTLS11
	case "1.3":
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// oldCipherSuites are all that crypto/tls has but for RC4 (RFC 7465): devices that know no TLS 1.2 often know
// nothing but RSA key exchange, with AES or 3DES.
func oldCipherSuites() []uint16 {
	var ids []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !strings.Contains(s.Name, "_RC4_") {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// certificateUser names the holder of a verified client certificate: the common name, else the first
// alternative name. A name that does not fit a header or a log is ignored.
func certificateUser(state tls.ConnectionState) string {
	cert := state.VerifiedChains[0][0]
	for _, name := range append([]string{cert.Subject.CommonName}, alternativeNames(cert)...) {
		if name != "" {
			return plainName(name)
		}
	}
	return ""
}

func alternativeNames(cert *x509.Certificate) []string {
	names := append(append([]string{}, cert.EmailAddresses...), cert.DNSNames...)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	return names
}

func plainName(name string) string {
	if len(name) > 255 || !utf8.ValidString(name) || strings.HasPrefix(name, "uid:") || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return name
}

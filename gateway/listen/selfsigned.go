package listen

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	selfSignedFile  = "self-signed.pem"     // in state_dir: certificate and key
	selfSignedRSA   = "self-signed-rsa.pem" // the same for old devices
	selfSignedFor   = 10 * 365 * 24 * time.Hour
	selfSignedRenew = 30 * 24 * time.Hour // before the end
)

// selfSigned returns the file of a certificate for this machine; it is made when there is none that
// holds for the name and for another while. Clients that want to check it can be given the file's
// first block. Devices that know no TLS 1.2 seldom know another key than RSA: name is that of the file,
// and selfSignedRSA has one.
func selfSigned(stateDir, name, hostname string) (string, error) {
	path := filepath.Join(stateDir, name)
	if pair, err := tls.LoadX509KeyPair(path, path); err == nil {
		if cert := pair.Leaf; cert.VerifyHostname(hostname) == nil && time.Until(cert.NotAfter) > selfSignedRenew {
			return path, os.Chmod(path, 0o600)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return "", err
	}
	// Whole or not at all: the file is found again after a crash.
	f, err := os.CreateTemp(stateDir, name+".*") // 0600
	if err != nil {
		return "", err
	}
	err = writeSelfSigned(f, name == selfSignedRSA, hostname, time.Now())
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return path, nil
}

// writeSelfSigned writes a certificate and its key as PEM.
func writeSelfSigned(w io.Writer, old bool, hostname string, now time.Time) error {
	var key crypto.Signer
	var err error
	usage := x509.KeyUsageDigitalSignature
	if old {
		usage |= x509.KeyUsageKeyEncipherment // for RSA key exchange
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: hostname}, DNSNames: []string{hostname, "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   now.Add(-time.Hour), NotAfter: now.Add(selfSignedFor),
		KeyUsage: usage, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: cert}); err != nil {
		return err
	}
	return pem.Encode(w, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

package fakes

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Application is what a registered application proves itself with.
type Application struct {
	Certificate, Key string         // PEM files, as Microsoft has them
	ServiceAccount   string         // JSON file of the same key, as Google has it
	Public           *rsa.PublicKey // for TokenSettings.Key
}

// NewApplication makes the files in a directory; the certificate is good until end.
func NewApplication(dir, client string, end time.Time) (*Application, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	account, err := json.Marshal(map[string]string{"type": "service_account", "client_email": client, "private_key_id": "1", "private_key": string(private)})
	if err != nil {
		return nil, err
	}
	a := &Application{filepath.Join(dir, "application.pem"), filepath.Join(dir, "application.key"), filepath.Join(dir, "application.json"), &key.PublicKey}
	for _, file := range []struct {
		path string
		text []byte
	}{{a.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, {a.Key, private}, {a.ServiceAccount, account}} {
		if err := os.WriteFile(file.path, file.text, 0o600); err != nil {
			return nil, err
		}
	}
	return a, nil
}

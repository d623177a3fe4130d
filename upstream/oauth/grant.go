package oauth

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"

	"mailhatch/upstream"
)

// grant asks the provider for a token; refresh is the refresh token, "" where there is none.
type grant func(ctx context.Context, refresh string) (*oauth2.Token, error)

// errNoLogin is a device flow without a refresh token.
var errNoLogin = errors.New("nobody has logged in yet")

func tlsConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// grant makes the grant of the flow, and returns when what it proves itself with expires (zero: never).
func (s *Settings) grant(purpose Purpose) (grant, time.Time, error) {
	switch s.Flow {
	case ServiceAccount:
		g, err := s.serviceAccount(purpose)
		return g, time.Time{}, err
	case Device:
		config := s.config(purpose)
		return func(ctx context.Context, refresh string) (*oauth2.Token, error) {
			if refresh == "" {
				return nil, errNoLogin
			}
			return config.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
		}, time.Time{}, nil
	}
	return s.clientCredentials(purpose)
}

// config is that of flows with a person.
func (s *Settings) config(purpose Purpose) *oauth2.Config {
	token, device := s.endpoints()
	return &oauth2.Config{ClientID: s.ClientID, ClientSecret: s.ClientSecret.Reveal(), Scopes: s.scopes(purpose),
		Endpoint: oauth2.Endpoint{TokenURL: token, DeviceAuthURL: device, AuthStyle: oauth2.AuthStyleInParams}}
}

// clientCredentials is the grant of RFC 6749 4.4, with a secret or a certificate (RFC 7523 2.2).
func (s *Settings) clientCredentials(purpose Purpose) (grant, time.Time, error) {
	token, _ := s.endpoints()
	config := clientcredentials.Config{ClientID: s.ClientID, ClientSecret: s.ClientSecret.Reveal(), TokenURL: token, Scopes: s.scopes(purpose), AuthStyle: oauth2.AuthStyleInParams}
	if s.CertificateFile == "" {
		return func(ctx context.Context, _ string) (*oauth2.Token, error) { return config.Token(ctx) }, time.Time{}, nil
	}
	if s.KeyFile == "" {
		return nil, time.Time{}, nil // reported already
	}
	const hint = "both files are PEM; the certificate is the one uploaded to the application"
	certificate, err := readFile(s.CertificateFile)
	if err != nil {
		return nil, time.Time{}, &upstream.KeyError{Key: "oauth2.certificate_file", Problem: err.Error(), Hint: hint}
	}
	private, err := readFile(s.KeyFile)
	if err != nil {
		return nil, time.Time{}, &upstream.KeyError{Key: "oauth2.key_file", Problem: err.Error(), Hint: hint}
	}
	pair, err := tls.X509KeyPair(certificate, private)
	if err != nil {
		return nil, time.Time{}, &upstream.KeyError{Key: "oauth2.certificate_file", Problem: err.Error(), Hint: hint}
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, time.Time{}, &upstream.KeyError{Key: "oauth2.key_file", Problem: "must be an RSA key"}
	}
	return func(ctx context.Context, _ string) (*oauth2.Token, error) {
		proof, err := assertion(key, pair.Leaf, s.ClientID, token, time.Now())
		if err != nil {
			return nil, err
		}
		proven := config
		proven.EndpointParams = url.Values{"client_assertion": {proof}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
		return proven.Token(ctx)
	}, pair.Leaf.NotAfter, nil
}

// assertion is the proof of a certificate,
// https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
func assertion(key *rsa.PrivateKey, cert *x509.Certificate, client, audience string, now time.Time) (string, error) {
	print := sha256.Sum256(cert.Raw)
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	head, err := json.Marshal(map[string]string{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(print[:])})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"aud": audience, "iss": client, "sub": client, "jti": base64.RawURLEncoding.EncodeToString(id[:]),
		"nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), err
}

// serviceAccount is Google's grant for a mailbox of the domain,
// https://developers.google.com/identity/protocols/oauth2/service-account
func (s *Settings) serviceAccount(purpose Purpose) (grant, error) {
	problem := func(text string) error {
		return &upstream.KeyError{Key: "oauth2.service_account_file", Problem: text, Hint: "the JSON key of the service account, from the Google Cloud console"}
	}
	if s.ServiceAccountFile == "" {
		return nil, nil // reported already
	}
	raw, err := readFile(s.ServiceAccountFile)
	if err != nil {
		return nil, problem(err.Error())
	}
	var key struct {
		Type        string
		ClientEmail string `json:"client_email"`
		KeyID       string `json:"private_key_id"`
		Key         string `json:"private_key"`
		TokenURI    string `json:"token_uri"`
	}
	if json.Unmarshal(raw, &key) != nil || key.Type != "service_account" || key.ClientEmail == "" || key.Key == "" {
		return nil, problem("is not the key of a service account")
	}
	if !isRSAKey([]byte(key.Key)) {
		return nil, problem("has no private_key that can be read")
	}
	token, _ := s.endpoints()
	config := &jwt.Config{Email: key.ClientEmail, PrivateKey: []byte(key.Key), PrivateKeyID: key.KeyID, Subject: s.Subject, Scopes: s.scopes(purpose), TokenURL: token}
	return func(ctx context.Context, _ string) (*oauth2.Token, error) {
		client := *oauth2.NewClient(ctx, nil)
		asked := &way{RoundTripper: client.Transport}
		client.Transport = asked
		granted, err := config.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, &client)).Token()
		if asked.err != nil {
			err = &url.Error{Op: "Post", URL: token, Err: asked.err}
		}
		return granted, err
	}, nil
}

// way keeps the error of a request that was not answered, which package jwt turns into text.
type way struct {
	http.RoundTripper
	err error
}

// RoundTrip makes the request.
func (w *way) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	resp, w.err = w.RoundTripper.RoundTrip(r)
	return resp, w.err
}

// isRSAKey reports whether a service account can sign by it, as package jwt reads it.
func isRSAKey(key []byte) bool {
	if block, _ := pem.Decode(key); block != nil {
		key = block.Bytes
	}
	if parsed, err := x509.ParsePKCS8PrivateKey(key); err == nil {
		_, ok := parsed.(*rsa.PrivateKey)
		return ok
	}
	_, err := x509.ParsePKCS1PrivateKey(key)
	return err == nil
}

// maxFile is far beyond any key, in bytes; it keeps a wrong path (/dev/zero) from filling the memory.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, err
}

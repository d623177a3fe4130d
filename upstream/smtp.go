package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// smtpSettings are the keys of an upstream that is an SMTP relay or submission server (RFC 5321, RFC 6409).
type smtpSettings struct {
	Host       string   `toml:"host"`        // name or address, without port
	Port       int      `toml:"port"`        // default by tls: starttls 587, implicit 465, opportunistic and none 25
	TLS        string   `toml:"tls"`         // starttls (default), implicit, opportunistic, none
	Username   string   `toml:"username"`    // without it there is no AUTH
	Password   Secret   `toml:"password"`    // the access token for xoauth2
	Auth       string   `toml:"auth"`        // auto (default) none, or a mechanism of smtpMechanismName
	CAFile     string   `toml:"ca_file"`     // PEM, trusted beside the system's authorities
	ServerName string   `toml:"server_name"` // in the certificate; default host
	Helo       string   `toml:"helo"`        // default the gateway's hostname
	Timeout    Duration `toml:"timeout"`     // of one step: dial, handshake, a reply, a write that makes progress

	PassControlHeaders bool `toml:"pass_control_headers"` // keep X-SMTPAPI, X-Mailgun-* and their like
}

const (
	smtpTLSStart         = "starttls"
	smtpTLSImplicit      = "implicit"
	smtpTLSOpportunistic = "opportunistic"
	smtpTLSNone          = "none"

	smtpAuthAuto = "auto"
	smtpAuthNone = "none"

	smtpDefaultTimeout = 30 * time.Second
	// smtpFinalTimeout is how long the reply to the final dot may take: giving up early makes
	// duplicates (RFC 5321 4.5.3.2.6). A timeout from the config takes its place.
	smtpFinalTimeout = 10 * time.Minute
)

// smtpRelay is the upstream of kind smtp.
type smtpRelay struct {
	name, host, helo string
	port             int
	tlsMode          string
	tlsConfig        *tls.Config // nil with tls = "none"
	username         string
	password         Secret
	auth             string
	timeout          time.Duration
	finalTimeout     time.Duration
	keepControl      bool
	pool             smtpPool
	buffers          sync.Pool // of *[]byte: wire forms of small messages, chunks of large ones
}

// Open checks the settings; it makes no connection.
func (s *smtpSettings) Open(env Env) (Upstream, error) {
	var problems []error
	problem := func(key, text, hint string) {
		problems = append(problems, &KeyError{Key: key, Problem: text, Hint: hint})
	}
	u := &smtpRelay{
		name: env.Name, host: s.Host, port: s.Port, helo: s.Helo, tlsMode: s.TLS,
		username: s.Username, password: s.Password, auth: s.Auth, keepControl: s.PassControlHeaders,
		timeout: s.Timeout.Duration, finalTimeout: s.Timeout.Duration,
	}
	u.buffers.New = func() any { b := make([]byte, 0, smtpChunk); return &b }
	u.setDefaults(env)
	u.checkAddress(problem)
	u.checkAuth(problem)
	if u.tlsMode != smtpTLSNone {
		config, err := s.tlsConfig(u)
		if err != nil {
			problem("ca_file", err.Error(), "give a file of certificates in PEM form")
		}
		u.tlsConfig = config
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	u.pool.init()
	return u, nil
}

func (u *smtpRelay) setDefaults(env Env) {
	if u.tlsMode == "" {
		u.tlsMode = smtpTLSStart
	}
	if u.auth == "" {
		u.auth = smtpAuthAuto
	}
	if u.helo == "" {
		u.helo = env.Hostname
	}
	if u.helo == "" {
		u.helo = "localhost"
	}
	if u.timeout <= 0 {
		u.timeout, u.finalTimeout = smtpDefaultTimeout, smtpFinalTimeout
	}
	if u.port == 0 {
		switch u.tlsMode {
		case smtpTLSImplicit:
			u.port = 465 // RFC 8314 7.3
		case smtpTLSOpportunistic, smtpTLSNone:
			u.port = 25
		default:
			u.port = 587 // RFC 6409 3.1
		}
	}
}

func (u *smtpRelay) checkAddress(problem func(key, text, hint string)) {
	switch {
	case u.host == "":
		problem("host", "is missing", `for example host = "smtp.example.com"`)
	case strings.ContainsAny(u.host, " \t\r\n/<>@[]"):
		problem("host", fmt.Sprintf("must be a host name or an IP address, not %q", u.host), "")
	case strings.Contains(u.host, ":") && net.ParseIP(u.host) == nil:
		problem("host", fmt.Sprintf("must have no port, as in %q", u.host), "give the number as port = …")
	}
	if u.port < 1 || u.port > 65535 {
		problem("port", fmt.Sprintf("must be between 1 and 65535, not %d", u.port), "")
	}
	switch u.tlsMode {
	case smtpTLSStart, smtpTLSImplicit, smtpTLSOpportunistic, smtpTLSNone:
	default:
		problem("tls", fmt.Sprintf(`must be "starttls", "implicit", "opportunistic" or "none", not %q`, u.tlsMode), "")
	}
	if !smtpIsPrintable(u.helo) || len(u.helo) > 255 {
		problem("helo", "must be a host name", "")
	}
}

func (u *smtpRelay) checkAuth(problem func(key, text, hint string)) {
	if smtpMechanismName(u.auth) == "" && u.auth != smtpAuthAuto && u.auth != smtpAuthNone {
		problem("auth", fmt.Sprintf(`must be "auto", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", `+
			`"scram-sha-256-plus", "xoauth2" or "none", not %q`, u.auth), "")
	}
	switch {
	case u.username == "" && !u.password.IsZero():
		problem("username", "is missing beside password", "")
	case u.username != "" && u.password.IsZero():
		problem("password", "is missing beside username", `for example password = "env:SMTP_PASSWORD"`)
	case u.username == "" && u.auth != smtpAuthAuto && u.auth != smtpAuthNone:
		problem("username", fmt.Sprintf("is missing for auth = %q", u.auth), "")
	case u.username != "" && u.auth == smtpAuthNone:
		problem("auth", `must not be "none" beside username`, "remove username and password, or auth")
	}
	inClear := u.tlsMode == smtpTLSNone || u.tlsMode == smtpTLSOpportunistic
	if u.username != "" && inClear && !smtpIsLoopback(u.host) {
		problem("tls", fmt.Sprintf("must not be %q with a password, which could travel in clear to %s", u.tlsMode, u.host),
			`use tls = "starttls" or "implicit"`)
	}
}

// tlsConfig makes the client's side of TLS. Opportunistic TLS does not check certificates unless the
// config names whom to trust: who can forge one can also strip STARTTLS (RFC 7435 3).
func (s *smtpSettings) tlsConfig(u *smtpRelay) (*tls.Config, error) {
	config := &tls.Config{
		ServerName:                  u.host,
		MinVersion:                  tls.VersionTLS12,
		ClientSessionCache:          tls.NewLRUClientSessionCache(8),
		DynamicRecordSizingDisabled: true, // a message is one burst; small records only cost
	}
	if s.ServerName != "" {
		config.ServerName = s.ServerName
	}
	if u.tlsMode == smtpTLSOpportunistic && s.CAFile == "" && s.ServerName == "" {
		config.InsecureSkipVerify = true
	}
	if s.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return config, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return config, fmt.Errorf("%s holds no certificate", s.CAFile)
	}
	config.RootCAs = pool
	return config, nil
}

// smtpIsLoopback tells a host that never leaves the machine.
func smtpIsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func smtpIsPrintable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Close ends the idle connections; those in use end with their Send.
func (u *smtpRelay) Close() error {
	u.pool.close()
	return nil
}

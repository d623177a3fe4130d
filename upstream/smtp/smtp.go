// Package smtp sends to an SMTP relay or submission server (RFC 5321, RFC 6409).
package smtp

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/oauth"
	"mailhatch/upstream/smtp/preset"
)

// Kind is an SMTP relay.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "smtp", Doc: "an SMTP relay or submission server", SMTPStatus: true,
		Traits: upstream.Traits{MailFrom: true, Bcc: upstream.BccEnvelope, Later: "bounces at MAIL FROM"},
		New:    func() upstream.Settings { return &settings{PassControlHeaders: true} },
		Setup:  questions(),
	}
}

// settings are the keys of an upstream that is an SMTP relay or submission server (RFC 5321, RFC 6409).
type settings struct {
	Preset     string            `toml:"preset"`      // a name of package preset, whose values stand in for the keys that are left out
	Region     string            `toml:"region"`      // of a preset that has regions
	Host       string            `toml:"host"`        // name or address, without port
	Port       int               `toml:"port"`        // default by tls: starttls 587, implicit 465, opportunistic and none 25
	TLS        string            `toml:"tls"`         // starttls (default), implicit (default at port 465), opportunistic, none
	Username   string            `toml:"username"`    // without it there is no AUTH
	Password   upstream.Secret   `toml:"password"`    // the access token for xoauth2
	Auth       string            `toml:"auth"`        // auto (default) none, or a mechanism of mechanismName
	CAFile     string            `toml:"ca_file"`     // PEM, trusted beside the system's authorities
	ServerName string            `toml:"server_name"` // in the certificate; default host
	Bind       string            `toml:"bind"`        // address that connections come from
	Helo       string            `toml:"helo"`        // default the gateway's hostname
	Timeout    upstream.Duration `toml:"timeout"`     // of one step: dial, handshake, a reply, a write that makes progress

	OAuth2 *oauth.Settings `toml:"oauth2"` // logs in by tokens, in place of password

	PassControlHeaders bool `toml:"pass_control_headers"` // default true: X-SMTPAPI, X-Mailgun-* and their like are there for this relay
}

const (
	tlsStart         = "starttls"
	tlsImplicit      = "implicit"
	tlsOpportunistic = "opportunistic"
	tlsNone          = "none"

	authAuto = "auto"
	authNone = "none"

	defaultTimeout = 30 * time.Second
	// defaultFinalTimeout is how long the reply to the final dot may take: giving up early makes
	// duplicates (RFC 5321 4.5.3.2.6). A timeout from the config takes its place.
	defaultFinalTimeout = 10 * time.Minute
)

func tlsModes() []string { return []string{tlsStart, tlsImplicit, tlsOpportunistic, tlsNone} }

// relay is the upstream of kind smtp.
type relay struct {
	host, helo   string
	port         int
	dialer       *net.Dialer
	tlsMode      string
	tlsConfig    *tls.Config // nil with tls = "none"
	username     string
	password     upstream.Secret
	tokens       *oauth.Source      // nil: the password logs in
	secrets      *upstream.Redactor // of the relay's words
	auth         string
	timeout      time.Duration
	finalTimeout time.Duration
	removed      []string      // fields that do not leave
	service      preset.Preset // that the relay is; the zero value where the config names none
	// mostRecipients is how many recipients of one message the relay has shown to take; 0: as many as it says.
	mostRecipients atomic.Int64
	pool           pool
	buffers        sync.Pool // of *[]byte: wire forms of small messages, chunks of large ones
}

// Open checks the settings; it makes no connection.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	var problems []error
	problem := func(key, text, hint string) {
		problems = append(problems, &upstream.KeyError{Key: key, Problem: text, Hint: hint})
	}
	s, err := s.withPreset()
	if err != nil {
		return nil, err
	}
	u := &relay{
		host: s.Host, port: s.Port, helo: s.Helo, tlsMode: s.TLS,
		username: s.Username, password: s.Password, auth: s.Auth, removed: removedFields(s.PassControlHeaders),
		timeout: s.Timeout.Duration, finalTimeout: s.Timeout.Duration,
	}
	u.service, _ = preset.Find(s.Preset)
	u.secrets = newRedactor(s.Username, s.Password)
	u.pool.maxIdle = maxIdle
	u.buffers.New = func() any { b := make([]byte, 0, chunkSize); return &b }
	u.setDefaults(env)
	problems = append(problems, upstream.OneOf("tls", u.tlsMode, tlsModes()...),
		upstream.OneOf("auth", u.auth, append(append([]string{authAuto}, mechanisms()...), authNone)...))
	dialer, err := upstream.Dialer(s.Bind, u.timeout)
	problems, u.dialer = append(problems, err), dialer
	u.checkAddress(problem)
	if u.tlsMode != tlsNone {
		roots, err := upstream.RootCAs(s.CAFile)
		problems = append(problems, err)
		u.tlsConfig = s.tlsConfig(u)
		u.tlsConfig.RootCAs = roots
	}
	if s.OAuth2 != nil {
		var roots *x509.CertPool
		if u.tlsConfig != nil {
			roots = u.tlsConfig.RootCAs
		}
		u.tokens, err = s.OAuth2.Open(env, oauth.SMTP, roots)
		problems = append(problems, err)
	}
	u.checkAuth(problem, s.OAuth2 != nil)
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if u.service.Keyed {
		return keyed{u}, nil
	}
	return u, nil
}

func (u *relay) setDefaults(env upstream.Env) {
	u.tlsMode = cmp.Or(u.tlsMode, defaultTLS(u.port))
	u.auth = cmp.Or(u.auth, authAuto)
	u.helo = cmp.Or(u.helo, env.Hostname, "localhost")
	if u.timeout <= 0 {
		u.timeout, u.finalTimeout = defaultTimeout, defaultFinalTimeout
	}
	u.port = cmp.Or(u.port, defaultPort(u.tlsMode))
}

// The ports of submission.
const (
	submissionPort  = 587 // RFC 6409 3.1
	submissionsPort = 465 // RFC 8314 7.3
)

func defaultTLS(port int) string {
	if port == submissionsPort {
		return tlsImplicit
	}
	return tlsStart
}

func defaultPort(tlsMode string) int {
	switch tlsMode {
	case tlsImplicit:
		return submissionsPort
	case tlsOpportunistic, tlsNone:
		return 25
	}
	return submissionPort
}

func (u *relay) checkAddress(problem func(key, text, hint string)) {
	switch {
	case u.host == "":
		problem("host", "is missing", `for example host = "smtp.example.com"`)
	case strings.Contains(u.host, "@"): // a password may stand there
		problem("host", "must be a host name or an IP address alone", hostHint(u.host))
	case strings.ContainsAny(u.host, notInHosts):
		problem("host", fmt.Sprintf("must be a host name or an IP address, not %q", u.host), hostHint(u.host))
	case strings.Contains(u.host, ":") && net.ParseIP(u.host) == nil:
		problem("host", fmt.Sprintf("must not have a port, as in %q", u.host), "give the number as port = …")
	}
	if u.port < 1 || u.port > 65535 {
		problem("port", fmt.Sprintf("must be between 1 and 65535, not %d", u.port), "")
	}
	if !isPrintable(u.helo) || len(u.helo) > 255 {
		problem("helo", "must be a host name", "")
	}
}

const notInHosts = " \t\r\n/<>@[],;|*"

// hostHint knows the forms of other programs: "[smtp.example.com]:587" of Postfix, URLs, several at once.
func hostHint(text string) string {
	scheme, rest, isURL := strings.Cut(text, "://")
	switch {
	case strings.Contains(text, "@"):
		return "give the part before the @ as username = … and password = …"
	case isURL:
		text = strings.TrimRight(rest, "/")
	case len(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,;|\t", r) })) > 1:
		return "an upstream is one host: make one of each, and name them in the order of `via`"
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), ""
	}
	if host == "" || strings.ContainsAny(host, notInHosts) {
		return `for example host = "smtp.example.com"`
	}
	hint := fmt.Sprintf("write host = %q", host)
	if port != "" && strings.Trim(port, "0123456789") == "" {
		hint += " and port = " + port
	}
	if scheme = strings.ToLower(scheme); isURL && (scheme == "smtps" || scheme == "ssl" || scheme == "tls") {
		hint += ` and tls = "implicit"`
	}
	return hint
}

func (u *relay) checkAuth(problem func(key, text, hint string), tokens bool) {
	switch {
	case tokens && u.username == "":
		problem("username", "is missing", "the mailbox that the tokens of [upstream.NAME.oauth2] are for")
	case tokens && !u.password.IsZero():
		problem("password", "cannot be combined with oauth2", "remove it: mailhatch logs in with tokens")
	case tokens && u.auth != authAuto && u.auth != "xoauth2":
		problem("auth", fmt.Sprintf("must not be %q beside oauth2", u.auth), `remove it, or write "xoauth2"`)
	case tokens:
	case u.username == "" && !u.password.IsZero():
		problem("username", "is missing beside password", "")
	case u.username != "" && u.password.IsZero():
		problem("password", "is missing beside username", `for example password = "env:SMTP_PASSWORD"`)
	case u.username == "" && u.auth != authAuto && u.auth != authNone:
		problem("username", fmt.Sprintf("is missing for auth = %q", u.auth), "")
	case u.username != "" && u.auth == authNone:
		problem("auth", `must not be "none" beside username`, "remove username and password, or auth")
	}
	inClear := u.tlsMode == tlsNone || u.tlsMode == tlsOpportunistic
	if u.username != "" && inClear && !upstream.IsLoopback(u.host) {
		problem("tls", fmt.Sprintf("must not be %q with a password, which could travel in clear to %s", u.tlsMode, u.host),
			`use tls = "starttls" or "implicit"`)
	}
}

// tlsConfig makes the client's side of TLS. Opportunistic TLS does not check certificates unless the
// config names whom to trust: who can forge one can also strip STARTTLS (RFC 7435 3).
func (s *settings) tlsConfig(u *relay) *tls.Config {
	config := &tls.Config{
		ServerName:                  cmp.Or(s.ServerName, u.host),
		MinVersion:                  tls.VersionTLS12,
		ClientSessionCache:          tls.NewLRUClientSessionCache(8),
		DynamicRecordSizingDisabled: true, // a message is one burst; small records only cost
	}
	if u.tlsMode == tlsOpportunistic && s.CAFile == "" && s.ServerName == "" {
		config.InsecureSkipVerify = true
	}
	return config
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Close ends the idle connections; those in use end with their Send.
func (u *relay) Close() error {
	u.pool.close()
	return nil
}

package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	mailsmtp "github.com/wneessen/go-mail/smtp"

	"mailhatch/upstream"
	"mailhatch/upstream/oauth"
	"mailhatch/upstream/smtp/reply"
)

// mechanisms are the values of auth that name one: SASL's names in lower case.
func mechanisms() []string {
	return []string{"plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "scram-sha-256-plus", "xoauth2"}
}

// autoMechanisms is the order in which auth = "auto" chooses. Inside TLS the plain mechanisms come
// first: servers often offer SCRAM or CRAM-MD5 for accounts whose secrets they do not have in that form.
// In clear, which Open allows to loopback only, the password itself is shown last.
func autoMechanisms(encrypted bool) []string {
	if encrypted {
		return []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"}
	}
	return []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}
}

// login does AUTH (RFC 4954) where the config has a user. Its errors are *Error. access is the token with which it
// was tried, "" for a password.
func (u *relay) login(ctx context.Context, c *conn) (access string, err error) {
	if u.username == "" {
		return "", nil
	}
	state, err := c.client.GetTLSConnectionState()
	encrypted := err == nil && state.HandshakeComplete
	if !encrypted && !isLoopbackConn(c.raw) {
		return "", &upstream.Error{Class: upstream.Account, Err: fmt.Errorf("%s: the password would travel in clear", u.address())}
	}
	password := u.password.Reveal()
	if u.tokens != nil {
		var e *upstream.Error
		if access, e = u.tokens.Token(ctx); e != nil {
			return "", e
		}
		password, c.secrets = access, newRedactor(u.username, upstream.NewSecret(access))
	}
	auth, err := u.mechanism(c.client, password, encrypted, state)
	if err != nil {
		return access, &upstream.Error{Class: upstream.Account, Err: fmt.Errorf("%s: %w", u.address(), err)}
	}
	c.step(u.timeout)
	if err := c.client.Auth(auth); err != nil {
		return access, u.authError(err, c.secrets)
	}
	return access, nil
}

// mechanism chooses among those that the relay offers.
func (u *relay) mechanism(client *mailsmtp.Client, password string, encrypted bool, state *tls.ConnectionState) (mailsmtp.Auth, error) {
	has, list := client.Extension("AUTH")
	if !has {
		return nil, errors.New("the relay offers no AUTH, but the config has a username")
	}
	offered := strings.Fields(strings.ToUpper(list))
	wanted := []string{strings.ToUpper(u.auth)}
	switch {
	case u.tokens != nil:
		wanted = []string{"XOAUTH2", "OAUTHBEARER"}
	case u.auth == authAuto:
		wanted = autoMechanisms(encrypted)
	}
	i := slices.IndexFunc(wanted, func(name string) bool { return slices.Contains(offered, name) })
	if i < 0 {
		return nil, fmt.Errorf("the relay offers no AUTH mechanism that can be used: it has %s, wanted is %s",
			reply.Clean(u.secrets.Redact(list)), strings.Join(wanted, " or "))
	}
	user := u.username
	switch wanted[i] {
	case "PLAIN":
		return mailsmtp.PlainAuth("", user, password, u.host, true), nil
	case "LOGIN":
		return mailsmtp.LoginAuth(user, password, u.host, true), nil
	case "CRAM-MD5":
		return mailsmtp.CRAMMD5Auth(user, password), nil
	case "SCRAM-SHA-1":
		return mailsmtp.ScramSHA1Auth(user, password), nil
	case "SCRAM-SHA-256":
		return mailsmtp.ScramSHA256Auth(user, password), nil
	case "SCRAM-SHA-256-PLUS":
		if !encrypted {
			return nil, errors.New("scram-sha-256-plus needs TLS")
		}
		return mailsmtp.ScramSHA256PlusAuth(user, password, state), nil
	case "OAUTHBEARER":
		return bearer{sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: user, Token: password, Host: u.host, Port: u.port})}, nil
	default: // XOAUTH2
		return mailsmtp.XOAuth2Auth(user, password), nil
	}
}

// bearer is the mechanism of RFC 7628.
type bearer struct{ sasl.Client }

// Start implements mailsmtp.Auth.
func (b bearer) Start(*mailsmtp.ServerInfo) (string, []byte, error) { return b.Client.Start() }

// Next implements mailsmtp.Auth. A challenge is the server's refusal in JSON; one byte asks for the reply (RFC 7628 3.2.3).
func (b bearer) Next(_ []byte, more bool) ([]byte, error) {
	if more {
		return []byte{1}, nil
	}
	return nil, nil
}

// authError distinguishes a refused login, for which the account is to blame, from a relay that cannot log
// anyone in at the moment.
func (u *relay) authError(err error, secrets *upstream.Redactor) error {
	var refused *textproto.Error
	if !errors.As(err, &refused) {
		if isNetwork(err) {
			return u.dialError(err)
		}
		return &upstream.Error{Class: upstream.Account, Err: fmt.Errorf("%s: AUTH failed: %w", u.address(), secrets.Error(err))}
	}
	e := reply.Of(refused, secrets).Failure(reply.AtAuth)
	e.Err = fmt.Errorf("%s: AUTH refused: %w", u.address(), e.Err)
	e.Err = oauth.Advise(e.Err, refused.Msg)
	return e
}

// newRedactor returns one for the password and for what AUTH makes of it.
func newRedactor(user string, secret upstream.Secret) *upstream.Redactor {
	password := secret.Reveal()
	if password == "" {
		return nil
	}
	return upstream.NewRedactor(password, "\x00"+user+"\x00"+password, "user="+user+"\x01auth=Bearer "+password+"\x01\x01")
}

func isLoopbackConn(c net.Conn) bool {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Expiries returns when the token that logs in ends.
func (u *relay) Expiries() []upstream.Expiry {
	if u.tokens == nil {
		return nil
	}
	return u.tokens.Expiries()
}

// Login implements upstream.Loginer.
func (u *relay) Login(ctx context.Context, show func(upstream.LoginCode)) error {
	if u.tokens == nil {
		return errors.New("it logs in with username and password, if at all")
	}
	return u.tokens.Login(ctx, show)
}

// NeedsLogin implements upstream.Loginer.
func (u *relay) NeedsLogin() bool { return u.tokens != nil && u.tokens.NeedsLogin() }

// HasTokens implements upstream.TokenSharer.
func (u *relay) HasTokens() bool { return u.tokens != nil }

// ShareTokens implements upstream.TokenSharer.
func (u *relay) ShareTokens(v upstream.Vault) { u.tokens.Share(v) }

// Run keeps the token alive.
func (u *relay) Run(ctx context.Context) error {
	if u.tokens == nil {
		return nil
	}
	return u.tokens.Run(ctx)
}

// Package oauth gets the access tokens with which upstreams log in (RFC 6749), renews them before they expire and
// keeps them over restarts.
package oauth

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"mailhatch/upstream"
)

// Settings are the keys of [upstream.NAME.oauth2].
type Settings struct {
	Provider           string          `toml:"provider"`         // microsoft, google or custom
	Flow               string          `toml:"flow"`             // client_credentials, device or service_account
	Tenant             string          `toml:"tenant"`           // microsoft: id or domain of the directory
	ClientID           string          `toml:"client_id"`        // of the registered application
	ClientSecret       upstream.Secret `toml:"client_secret"`    // or:
	CertificateFile    string          `toml:"certificate_file"` // PEM, with key_file; proves the application in place of a secret
	KeyFile            string          `toml:"key_file"`
	ServiceAccountFile string          `toml:"service_account_file"` // google: the JSON key
	Subject            string          `toml:"subject"`              // google: the mailbox that the service account acts for
	Scopes             []string        `toml:"scopes"`               // default: those that sending needs
	TokenURL           string          `toml:"token_url"`
	DeviceURL          string          `toml:"device_url"`
}

// The values of flow and provider.
const (
	ClientCredentials = "client_credentials"
	Device            = "device"
	ServiceAccount    = "service_account"

	microsoft = "microsoft"
	google    = "google"
	custom    = "custom"
)

// Purpose is what the tokens are for.
type Purpose int

// The purposes.
const (
	SMTP  Purpose = iota // XOAUTH2 at a relay
	Graph                // Microsoft Graph's sendMail
	Gmail                // the Gmail API
)

// scopes by provider, purpose and whether a person consents.
// https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth,
// https://learn.microsoft.com/en-us/graph/api/user-sendmail, https://developers.google.com/workspace/gmail/api/auth/scopes
func (s *Settings) scopes(p Purpose) []string {
	switch {
	case len(s.Scopes) > 0:
		return s.Scopes
	case s.Provider == google && p == Gmail:
		return []string{"https://www.googleapis.com/auth/gmail.send"}
	case s.Provider == google:
		return []string{"https://mail.google.com/"}
	case s.Provider == microsoft && p == Graph && s.Flow == Device:
		return []string{"https://graph.microsoft.com/Mail.Send", "offline_access"}
	case s.Provider == microsoft && p == Graph:
		return []string{"https://graph.microsoft.com/.default"}
	case s.Provider == microsoft && s.Flow == Device:
		return []string{"https://outlook.office.com/SMTP.Send", "offline_access"}
	case s.Provider == microsoft:
		return []string{"https://outlook.office365.com/.default"}
	}
	return nil
}

// endpoints returns where tokens and device codes come from.
func (s *Settings) endpoints() (token, device string) {
	switch s.Provider {
	case microsoft:
		base := "https://login.microsoftonline.com/" + url.PathEscape(s.Tenant) + "/oauth2/v2.0/"
		token, device = base+"token", base+"devicecode"
	case google:
		token, device = "https://oauth2.googleapis.com/token", "https://oauth2.googleapis.com/device/code"
	}
	return cmp.Or(s.TokenURL, token), cmp.Or(s.DeviceURL, device)
}

// Open checks the settings and makes the source of tokens. Errors are joined *KeyErrors. roots are the authorities
// that are trusted, nil for the system's.
func (s *Settings) Open(env upstream.Env, purpose Purpose, roots *x509.CertPool) (*Source, error) {
	if s.Flow == "" { // the one that needs no person
		usual := *s
		usual.Flow = map[string]string{microsoft: ClientCredentials, google: ServiceAccount}[s.Provider]
		s = &usual
	}
	var errs []error
	problem := func(key, text, hint string) {
		errs = append(errs, &upstream.KeyError{Key: "oauth2." + key, Problem: text, Hint: hint})
	}
	errs = append(errs, oneOf("provider", s.Provider, microsoft, google, custom), oneOf("flow", s.Flow, ClientCredentials, Device, ServiceAccount))
	if errors.Join(errs...) == nil {
		s.checkFlow(problem, purpose)
		s.checkEndpoints(problem)
	}
	grant, expiry, err := s.grant(purpose)
	if file, ok := errors.AsType[*upstream.KeyError](err); ok && !slices.ContainsFunc(errs, func(e error) bool {
		other, _ := errors.AsType[*upstream.KeyError](e)
		return other != nil && other.Key == file.Key
	}) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Source{
		name: env.Name, settings: s, purpose: purpose, grant: grant, secretExpiry: expiry, tokenDir: env.TokenDir, store: fileStore{dir: env.TokenDir, name: env.Name},
		client: newClient(roots), busy: make(chan struct{}, 1), renewed: make(chan struct{}, 1), now: time.Now,
	}, nil
}

func oneOf(key, value string, allowed ...string) error {
	if value == "" {
		return &upstream.KeyError{Key: "oauth2." + key, Problem: "is missing", Hint: "one of " + strings.Join(allowed, ", ")}
	}
	return upstream.OneOf("oauth2."+key, value, allowed...)
}

// checkFlow checks that the flow has what it needs, and no more.
func (s *Settings) checkFlow(problem func(key, text, hint string), purpose Purpose) {
	if s.Flow == ServiceAccount {
		if s.Provider != google {
			problem("flow", `"service_account" is Google's`, `use "client_credentials", or provider = "google"`)
		}
		if s.ServiceAccountFile == "" {
			problem("service_account_file", "is missing", "the JSON key of the service account, from the Google Cloud console")
		}
		if !strings.Contains(s.Subject, "@") {
			problem("subject", "must be the mailbox that sends", "the service account needs domain-wide delegation for it")
		}
		return
	}
	if s.ClientID == "" {
		problem("client_id", "is missing", "the id of the registered application")
	}
	if s.ServiceAccountFile != "" {
		problem("service_account_file", fmt.Sprintf("does not belong to flow = %q", s.Flow), "")
	}
	switch {
	case s.Provider == google && s.Flow == ClientCredentials:
		problem("flow", `"client_credentials" does not exist at Google`, `use "service_account"`)
	case s.Flow == ClientCredentials && s.ClientSecret.IsZero() && s.CertificateFile == "":
		problem("client_secret", "is missing", "a secret of the application, or certificate_file and key_file")
	case !s.ClientSecret.IsZero() && s.CertificateFile != "":
		problem("client_secret", "cannot be combined with certificate_file", "keep one of the two")
	case (s.CertificateFile == "") != (s.KeyFile == ""):
		problem("key_file", "belongs together with certificate_file", "")
	}
	if s.Provider == custom && len(s.scopes(purpose)) == 0 {
		problem("scopes", "is missing", "the scopes that sending needs at this provider")
	}
}

// checkEndpoints checks tenant and addresses.
func (s *Settings) checkEndpoints(problem func(key, text, hint string)) {
	token, device := s.endpoints()
	switch {
	case s.Provider == microsoft && s.Tenant == "" && s.TokenURL == "":
		problem("tenant", "is missing", "the directory's id or domain, as the Entra admin center shows it")
	case strings.Trim(strings.ToLower(s.Tenant), "abcdefghijklmnopqrstuvwxyz0123456789-.") != "":
		problem("tenant", fmt.Sprintf("must be the directory's id or domain, not %q", s.Tenant), "")
	}
	for _, u := range []struct {
		key, address string
		needed       bool
	}{{"token_url", token, true}, {"device_url", device, s.Flow == Device}} {
		if !u.needed {
			continue
		}
		p, err := url.Parse(u.address)
		switch {
		case u.address == "":
			problem(u.key, "is missing", "the address of the provider's endpoint")
		case err != nil || p.Host == "" || p.Scheme != "https" && (p.Scheme != "http" || !upstream.IsLoopback(p.Hostname())):
			problem(u.key, "must be an https:// address", "the secret would travel in clear")
		}
	}
}

// Advice warns of what a provider does not do.
func (s *Settings) Advice() []upstream.KeyError {
	if s.Provider == google && s.Flow == Device && s.DeviceURL == "" {
		// https://developers.google.com/identity/protocols/oauth2/limited-input-device (allowed scopes)
		return []upstream.KeyError{{Key: "oauth2.flow", Problem: "Google grants no right to send mail by the device flow; service_account does, or an app password"}}
	}
	return nil
}

const requestTimeout = 20 * time.Second

// newClient makes the HTTP client of the endpoints. It follows no redirects: requests hold secrets.
func newClient(roots *x509.CertPool) *http.Client {
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
	transport.TLSClientConfig = tlsConfig(roots)
	transport.DisableKeepAlives = true // a request an hour
	return &http.Client{Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

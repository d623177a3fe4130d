// Package jmap sends by JMAP: RFC 8620 (core) and RFC 8621 (mail, EmailSubmission).
package jmap

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
	"mailhatch/upstream/raw"
)

// Limits of a request; the server's own are in its session (maxSizeUpload) and in its answers (tooManyRecipients).
const (
	maxRecipients = 500
	maxBytes      = 50 << 20 // of the message
)

// rules: RFC 8620 3.6 (request- and method-level errors), 5.3 (SetError), 6.1 (limits of uploads); RFC 8621 4.8 and 7.5.
var rules = []api.Rule{
	{Name: "limit", Words: "maxsize", Class: upstream.Unrepresentable, Code: "5.3.4"},
	{Name: "limit", Words: "maxcallsinrequest", Class: upstream.Account}, // of four, which RFC 8620 2 has every server take
	{Name: "limit", Class: upstream.Throttled, Wait: time.Second},
	{Name: "notJSON", Class: upstream.Temporary},
	{Name: "notRequest", Class: upstream.Temporary},
	{Name: "unknownCapability", Class: upstream.Account},
	{Name: "serverPartialFail", Class: upstream.Uncertain},
	{Name: "serverUnavailable", Class: upstream.Temporary},
	{Name: "serverFail", Class: upstream.Temporary},
	{Name: "unknownMethod", Class: upstream.Account},
	{Name: "forbidden", Class: upstream.Account},
	{Name: "accountNotFound", Class: upstream.Account},
	{Name: "accountNotSupportedByMethod", Class: upstream.Account},
	{Name: "accountReadOnly", Class: upstream.Account},

	{Name: "forbiddenFrom", Class: upstream.Account, Sender: true},
	{Name: "forbiddenMailFrom", Class: upstream.Account, Sender: true},
	{Name: "forbiddenToSend", Class: upstream.Account},
	{Name: "overQuota", Class: upstream.Account},
	{Name: "rateLimit", Class: upstream.Throttled, Wait: time.Second},
	{Name: "tooLarge", Class: upstream.Unrepresentable, Code: "5.3.4"},
	{Name: "tooManyRecipients", Class: upstream.Permanent, Code: "5.5.3", Search: true},
	{Name: "invalidRecipients", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "noRecipients", Class: upstream.Permanent, Code: "5.1.3"},
	{Name: "invalidEmail", Class: upstream.Permanent},
	{Name: "invalidProperties", Words: "envelope", Class: upstream.Permanent, Code: "5.1.3", Search: true},
}

// Kind is JMAP.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "jmap", Doc: "A mailbox by JMAP: Fastmail, Stalwart and others (raw MIME)", Changes: changes(),
		Traits: upstream.Traits{MailFrom: true, Bcc: upstream.BccEnvelope, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New: func() upstream.Settings {
			return &settings{Settings: api.Defaults(), Events: events.Defaults(), LogDelay: upstream.Duration{Duration: traceDelay}}
		},
		Setup: []upstream.Question{
			{Key: "session_url", Text: "Address of the JMAP session", Flag: "session-url", Usage: "`address` of the JMAP session: https://api.fastmail.com/jmap/session"},
			{Key: "token", Text: "API token (not shown), or where it is kept: env:NAME, file:/path", Secret: true, Flag: "token",
				Default: func(map[string]string) string { return "env:JMAP_TOKEN" }},
		},
	}
}

// changes lists what a JMAP server changes in every mail.
func changes() []string {
	return append(raw.Changes(),
		"the envelope is kept; the server may insist that MAIL FROM and From are those of an identity of the account",
		"a copy of each mail is kept in the mailbox's Sent; mail that could not be submitted stays in Drafts",
		"the server adds Received and DKIM-Signature, and may replace a wrong Message-ID or Date")
}

type settings struct {
	api.Settings
	SessionURL string            `toml:"session_url"`
	Token      upstream.Secret   `toml:"token"`
	Events     events.Settings   `toml:"events"`
	LogDelay   upstream.Duration `toml:"log_delay"` // how late the server may have what it was asked for
}

// session returns where the session is: with base_url alone at the well-known place (RFC 8620 2.2).
func (s *settings) session() (*url.URL, error) {
	address := s.SessionURL
	if address == "" && s.BaseURL != "" {
		address = strings.TrimRight(s.BaseURL, "/") + "/.well-known/jmap"
	}
	const hint = `"https://api.fastmail.com/jmap/session" for Fastmail, "https://mail.example.com/.well-known/jmap" for others`
	u, err := url.Parse(address)
	switch {
	case address == "":
		return nil, &upstream.KeyError{Key: "session_url", Problem: "is missing", Hint: hint}
	case s.SessionURL == "": // base_url is checked by itself
		return cmp.Or(u, &url.URL{}), nil
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, &upstream.KeyError{Key: "session_url", Problem: "must be an https:// address", Hint: hint}
	case u.User != nil || u.Fragment != "":
		return nil, &upstream.KeyError{Key: "session_url", Problem: "must not have a user or fragment", Hint: "the token belongs in token"}
	case !isSafe(u):
		return nil, &upstream.KeyError{Key: "session_url", Problem: "must be https:// unless the host is this machine", Hint: "the token and the mail would travel in clear"}
	}
	return u, nil
}

// isSafe reports that nobody else reads what goes there.
func isSafe(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && upstream.IsLoopback(u.Hostname())
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	session, err := s.session()
	service := api.Service{
		URL:     "https://localhost", // until the session's is known to be one
		KeyHint: "make an API token with the right to send mail in the account's settings", Recipients: maxRecipients, Bytes: maxBytes + 1<<20,
		Batches: true, Changes: changes(),
	}
	if session != nil {
		service.URL = session.Scheme + "://" + session.Host
	}
	client, clientErr := api.Open(env, s.Settings, service, api.Key{Setting: "token", Field: "Authorization", Scheme: "Bearer", Secret: s.Token})
	listener, listenErr := s.Events.Open(env, ways)
	if err = errors.Join(err, clientErr, listenErr, events.CheckLogDelay(s.LogDelay)); err != nil {
		return nil, err
	}
	p := &provider{client: client, form: raw.Form{Provider: "JMAP", Bytes: maxBytes}, session: session, rebased: s.BaseURL != ""}
	return &telling{api.New(client, p), newFeedback(p, listener, s.LogDelay.Duration)}, nil
}

// telling is the upstream of kind jmap.
type telling struct {
	*api.Upstream
	*feedback
}

// provider sends by an upload, Email/import and EmailSubmission/set.
type provider struct {
	client  *api.Client
	form    raw.Form
	session *url.URL
	rebased bool // all addresses are taken to be at base_url

	mu    sync.Mutex
	known *account // nil: to be read
}

// Refuses can tell of all mail.
func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) { return p.form.Refuses(m), true }

// Account reads session, identities and mailboxes anew.
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	acc, a, e := p.read(ctx)
	if e != nil {
		return a, e
	}
	p.remember(acc)
	return a, nil
}

// Findings says what the session allows, and for which domains there are identities.
func (p *provider) Findings(_ context.Context, _ *api.Answer, domains []string) []upstream.Finding {
	acc := p.remembered()
	if acc == nil {
		return nil
	}
	list := []upstream.Finding{upstream.Finef("key", "the token is valid, and the account may send")}
	if len(acc.identities) == 0 {
		return append(list, upstream.Finding{Name: "domain", Level: upstream.Fail, Text: "the account has no identity, so that nothing can be sent",
			Hint: "add one for the address in From in the account's settings"})
	}
	var known []api.Domain
	seen := map[string]bool{}
	for _, i := range acc.identities {
		domain := strings.ToLower(i.Email[strings.LastIndex(i.Email, "@")+1:])
		if !seen[domain] {
			seen[domain] = true
			known = append(known, api.Domain{Name: domain, Status: "the domain of an identity", Level: upstream.Fine})
		}
	}
	return append(list, api.DomainFindings(domains, known, true, upstream.Warn, "add an identity for it in the account's settings")...)
}

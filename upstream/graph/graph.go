// Package graph sends by Microsoft Graph, https://learn.microsoft.com/en-us/graph/api/user-sendmail
package graph

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/tokens"
	"mailhatch/upstream/oauth"
	"mailhatch/upstream/raw"
)

// Limits: Graph takes requests of 4 MB (https://learn.microsoft.com/en-us/graph/use-the-api), in which the message is
// base64. Upload sessions take single attachments, not messages:
// https://learn.microsoft.com/en-us/graph/outlook-large-attachments. Recipients:
// https://learn.microsoft.com/en-us/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits
const (
	maxRecipients = 500
	maxRequest    = 4 << 20
	maxBytes      = maxRequest / 4 * 3 // of the message
)

// rules: https://learn.microsoft.com/en-us/graph/errors and, for the names that Exchange gives,
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/responsecode
var rules = []api.Rule{
	{Name: "ErrorSendAsDenied", Class: upstream.Account, Sender: true},
	{Name: "ErrorAccessDenied", Class: upstream.Account},
	{Name: "Authorization_RequestDenied", Class: upstream.Account},
	{Name: "InvalidAuthenticationToken", Class: upstream.Account},
	{Name: "MailboxNotEnabledForRESTAPI", Class: upstream.Account},
	{Name: "MailboxNotSupportedForRESTAPI", Class: upstream.Account},
	{Name: "ErrorInvalidUser", Class: upstream.Account},
	{Name: "ErrorNonExistentMailbox", Class: upstream.Account},
	{Name: "ErrorAccountSuspend", Class: upstream.Account},
	{Name: "ErrorAccountSuspendShowTierUpgrade", Class: upstream.Account},
	{Name: "ErrorMessageSubmissionBlocked", Class: upstream.Account},
	{Name: "ErrorQuotaExceeded", Class: upstream.Account}, // the mailbox is full: no copy can be kept in Sent Items

	{Name: "ErrorExceededMessageLimit", Class: upstream.Throttled, Wait: time.Hour},
	{Name: "ErrorSubmissionQuotaExceeded", Class: upstream.Throttled, Wait: time.Hour},
	{Name: "ApplicationThrottled", Class: upstream.Throttled},
	{Name: "TooManyRequests", Class: upstream.Throttled},
	{Name: "ErrorServerBusy", Class: upstream.Throttled},
	{Name: "ErrorTooManyObjectsOpened", Class: upstream.Throttled},

	{Name: "ErrorMessageSizeExceeded", Class: upstream.Unrepresentable, Code: "5.3.4"},
	{Name: "RequestEntityTooLarge", Class: upstream.Unrepresentable, Code: "5.3.4"},
	{Name: "ErrorMimeContentInvalidBase64String", Class: upstream.Unrepresentable, Code: "5.6.0"}, // said of MIME that it cannot read, too
	{Name: "ErrorMimeContentInvalid", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "ErrorMimeContentConversionFailed", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "ErrorInvalidRecipients", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "ErrorInvalidSmtpAddress", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "ErrorInvalidRecipientSubfilter", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "ErrorMailRecipientNotFound", Class: upstream.Permanent, Code: "5.1.1", Search: true},
	{Name: "ErrorInternalServerTransientError", Class: upstream.Temporary},
	{Status: 400, Class: upstream.Temporary}, // one that is new here
}

// Kind is Microsoft Graph.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "graph", Doc: "Microsoft Graph's sendMail (raw MIME, to the recipients in its header)", Changes: changes(),
		Traits: upstream.Traits{Bcc: upstream.BccHeader, Recipients: maxRecipients, Bytes: maxBytes, Later: "bounces in the mailbox"},
		New:    func() upstream.Settings { return &settings{Settings: api.Defaults()} },
		Setup: []upstream.Question{
			{Key: "user", Text: "Address of the mailbox that sends", Flag: "user", Usage: "`address` of the mailbox that sends"},
			{Key: "oauth2.tenant", Text: "Tenant: the directory's id or domain, as the Entra admin center shows it", Flag: "tenant", Usage: "`id` of the Entra directory"},
			{Key: "oauth2.client_id", Text: "Client id of the registered application", Flag: "client-id", Usage: "`id` of the registered application"},
			{Key: "oauth2.client_secret", Text: "Client secret (not shown), or where it is kept: env:NAME, file:/path", Secret: true, Flag: "client-secret",
				Default: func(map[string]string) string { return "env:ENTRA_SECRET" }},
		},
	}
}

// changes lists what Graph changes in every mail; that fields go is told in
// https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/2209, that copies cannot be switched off in
// https://github.com/microsoftgraph/microsoft-graph-docs/issues/18698
func changes() []string {
	return append(raw.AddressedChanges(),
		"a copy of each mail is kept in the mailbox's Sent Items",
		"From must be an address of the mailbox, or one for which it has the right Send As",
		"Exchange rewrites the MIME structure and Date; fields such as Auto-Submitted and unknown X- fields may be removed",
		"messages of more than 3 MiB are not carried: Graph accepts requests of 4 MB, and its upload sessions are only for single attachments",
		"the provider's id is Graph's request-id; to find mail in Exchange's message trace, use its Message-ID",
	)
}

type settings struct {
	api.Settings
	User   string          `toml:"user"` // the mailbox that sends; default: the one that logged in
	OAuth2 *oauth.Settings `toml:"oauth2"`
}

// Advice warns of what a provider does not do.
func (s *settings) Advice() []upstream.KeyError {
	if s.OAuth2 == nil {
		return nil
	}
	return s.OAuth2.Advice()
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	if s.OAuth2 == nil {
		return nil, &upstream.KeyError{Key: "oauth2", Problem: "is missing", Hint: "[upstream.NAME.oauth2] says how tokens are got: tenant, client_id, client_secret"}
	}
	login := *s.OAuth2
	login.Provider, login.Flow = cmp.Or(login.Provider, "microsoft"), cmp.Or(login.Flow, oauth.ClientCredentials)
	var errs []error
	if login.Provider == "google" {
		errs = append(errs, &upstream.KeyError{Key: "oauth2.provider", Problem: `must be "microsoft" or "custom", not "google"`, Hint: `type = "gmail" sends by Google`})
	}
	if s.User == "" && login.Flow != oauth.Device {
		errs = append(errs, &upstream.KeyError{Key: "user", Problem: "is missing", Hint: "the address of the mailbox that sends"})
	}
	roots, _ := upstream.RootCAs(s.CAFile) // api.Open reports the error
	source, err := login.Open(env, oauth.Graph, roots)
	client, clientErr := api.Open(env, s.Settings, api.Service{
		URL: "https://graph.microsoft.com/v1.0", KeyHint: "the application needs the right Mail.Send with admin consent, for this mailbox",
		Recipients: maxRecipients, Bytes: maxRequest, Addressed: true, Changes: changes(),
	}, tokens.Credentials{Source: source})
	if err = errors.Join(append(errs, err, clientErr)...); err != nil {
		return nil, err
	}
	path := "/me/sendMail"
	if s.User != "" {
		path = "/users/" + url.PathEscape(s.User) + "/sendMail"
	}
	form := raw.Form{Provider: "Graph", Bytes: maxBytes, Larger: `an smtp upstream with preset = "microsoft365"`}
	return tokens.New(client, &provider{client: client, form: form, path: path, user: cmp.Or(s.User, "the mailbox that logged in")}, source), nil
}

// provider sends by POST /users/{user}/sendMail.
type provider struct {
	client *api.Client
	form   raw.Form
	path   string
	user   string // for people
}

// Refuses can tell of all mail.
func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) { return p.form.Refuses(m), true }

// Compose writes the message for each group of recipients.
func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	return p.form.Compose(m, func(src mime.Source) *api.Request { return p.request(api.Payload{raw.Base64(src)}) })
}

func (p *provider) request(body api.Payload) *api.Request {
	return &api.Request{Method: "POST", Path: p.path, Body: body, Header: []string{"Content-Type", "text/plain", "Accept", "application/json"}}
}

// Interpret reads 202 without a body, or an error.
func (p *provider) Interpret(a *api.Answer, _ *api.Call) api.Verdict {
	if a.Status == 202 && len(bytes.TrimSpace(a.Body)) == 0 {
		return api.Verdict{ID: api.Line(a.Header.Get("Request-Id"))}
	}
	if a.Status >= 200 && a.Status < 300 {
		return api.Verdict{Err: api.NotTheirs(a, "Graph")}
	}
	e, rule := api.Classify(a, problemOf(a), rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// problemOf reads {"error":{"code":…,"message":…}}.
func problemOf(a *api.Answer) api.Problem {
	var w struct {
		Error struct{ Code, Message string }
	}
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &w) != nil || w.Error.Code == "" {
		return api.Problem{}
	}
	return api.Problem{Name: api.Line(w.Error.Code), Message: w.Error.Message, Own: true}
}

// Account sends what is no message: who may send is told so, and nothing is sent. With the right Mail.Send alone
// there is nothing that could be read.
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := p.client.Do(ctx, p.request(api.Payload{{Literal: []byte("*")}}))
	if err != nil {
		return nil, err
	}
	w := problemOf(a)
	if a.Status == 400 && strings.HasPrefix(w.Name, "ErrorMimeContent") {
		return a, nil
	}
	if !w.Own && a.Status < 300 {
		return a, &upstream.Error{Class: upstream.Account, Status: a.Status, Err: errors.New("the answer is not from Graph; check base_url")}
	}
	e, _ := api.Classify(a, w, rules)
	return a, e
}

// Findings says what a token that is right proves.
func (p *provider) Findings(context.Context, *api.Answer, []string) []upstream.Finding {
	return []upstream.Finding{upstream.Finef("key", "the token is valid, and may send as %s", p.user),
		upstream.Finef("domain", "Graph does not tell which other addresses the mailbox may send as")}
}

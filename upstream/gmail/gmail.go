// Package gmail sends by the Gmail API, https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send
package gmail

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/tokens"
	"mailhatch/upstream/oauth"
	"mailhatch/upstream/raw"
)

// Limits: the largest upload stands in https://gmail.googleapis.com/$discovery/rest?version=v1, what goes without one in
// https://developers.google.com/workspace/gmail/api/guides/uploads; recipients: https://support.google.com/a/answer/166852
const (
	maxRecipients = 500
	maxBytes      = 35 << 20 // of the message
	maxInline     = 5 << 20  // of one that goes in JSON; larger ones are uploaded
	maxRequest    = maxBytes
)

// rules: https://developers.google.com/workspace/gmail/api/guides/handle-errors. Limits on sending are told as a user's
// rate limit with the words "(Mail sending)", and last for hours.
var rules = []api.Rule{
	{Words: "(mail sending)", Class: upstream.Throttled, Code: "quota_exceeded", Wait: time.Hour},
	{Name: "dailyLimitExceeded", Class: upstream.Throttled, Wait: time.Hour},
	{Name: "quotaExceeded", Class: upstream.Throttled, Wait: time.Hour},
	{Name: "userRateLimitExceeded", Class: upstream.Throttled, Wait: time.Second},
	{Name: "rateLimitExceeded", Class: upstream.Throttled, Wait: time.Second},
	{Name: "concurrentLimitExceeded", Class: upstream.Throttled, Wait: time.Second},
	{Name: "RESOURCE_EXHAUSTED", Class: upstream.Throttled, Wait: time.Second},

	{Name: "authError", Class: upstream.Account},
	{Name: "domainPolicy", Class: upstream.Account},
	{Name: "insufficientPermissions", Class: upstream.Account},
	{Name: "accessNotConfigured", Class: upstream.Account},
	{Name: "forbidden", Class: upstream.Account},
	{Name: "failedPrecondition", Class: upstream.Account}, // no Gmail for the mailbox, or a service account without its subject
	{Name: "FAILED_PRECONDITION", Class: upstream.Account},

	{Name: "uploadTooLarge", Class: upstream.Unrepresentable, Code: "5.3.4"},
	{Name: "invalidArgument", Words: "invalid to header", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "invalidArgument", Words: "invalid cc header", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "invalidArgument", Words: "invalid bcc header", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "invalidArgument", Words: "recipient address", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "invalidArgument", Words: "too many recipients", Class: upstream.Permanent, Code: "5.5.3", Search: true},
	{Name: "invalidArgument", Words: "invalid from header", Class: upstream.Unrepresentable, Code: "5.1.7"},
	{Name: "invalidArgument", Words: "user id", Class: upstream.Account},
	{Name: "invalidArgument", Class: upstream.Permanent},
	{Name: "INVALID_ARGUMENT", Class: upstream.Permanent},
	{Status: 400, Class: upstream.Temporary}, // one that is new here
}

// Kind is the Gmail API.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "gmail", Doc: "The Gmail API's messages.send (raw MIME, to the recipients in its header)", Changes: changes(),
		Traits: upstream.Traits{Bcc: upstream.BccHeader, Recipients: maxRecipients, Bytes: maxBytes, Later: "bounces in the mailbox"},
		New:    func() upstream.Settings { return &settings{Settings: api.Defaults()} },
		Setup: []upstream.Question{
			{Key: "oauth2.service_account_file", Text: "File with the JSON key of the service account", Flag: "service-account-file", Usage: "`file` with the service account's JSON key"},
			{Key: "oauth2.subject", Text: "Address of the mailbox that sends", Flag: "subject", Usage: "`address` of the mailbox that sends"},
		},
	}
}

// changes lists what Gmail changes in every mail, https://support.google.com/mail/answer/22370 (From).
func changes() []string {
	return append(raw.AddressedChanges(),
		"a copy of each mail is kept in the mailbox's Sent folder",
		"From must be an address of the mailbox or one of its \"send mail as\" addresses; any other is replaced with the mailbox's own",
		"Message-ID may be replaced; the provider's id is that of the copy in Sent",
		"after a daily limit is reached, Gmail may accept mail for some minutes and not deliver it; it then sends bounces to the mailbox",
	)
}

type settings struct {
	api.Settings
	User   string          `toml:"user"` // the mailbox that sends; default: the one that the token is for
	OAuth2 *oauth.Settings `toml:"oauth2"`
}

// Advice warns of what a provider does not do.
func (s *settings) Advice() []upstream.KeyError {
	if s.OAuth2 == nil {
		return nil
	}
	login := s.login()
	return login.Advice()
}

// login returns the settings of oauth2 with what is usual here.
func (s *settings) login() oauth.Settings {
	login := *s.OAuth2
	login.Provider, login.Flow = cmp.Or(login.Provider, "google"), cmp.Or(login.Flow, oauth.ServiceAccount)
	return login
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	if s.OAuth2 == nil {
		return nil, &upstream.KeyError{Key: "oauth2", Problem: "is missing", Hint: "[upstream.NAME.oauth2] says how tokens are got: service_account_file, subject"}
	}
	login := s.login()
	var wrong error
	if login.Provider == "microsoft" {
		wrong = &upstream.KeyError{Key: "oauth2.provider", Problem: `must be "google" or "custom", not "microsoft"`, Hint: `type = "graph" sends by Microsoft`}
	}
	roots, _ := upstream.RootCAs(s.CAFile) // api.Open reports the error
	source, err := login.Open(env, oauth.Gmail, roots)
	client, clientErr := api.Open(env, s.Settings, api.Service{
		URL: "https://gmail.googleapis.com", KeyHint: "the token needs the scope gmail.send, and the project the Gmail API",
		Recipients: maxRecipients, Bytes: maxRequest, Addressed: true, Changes: changes(),
	}, tokens.Credentials{Source: source})
	if err = errors.Join(wrong, err, clientErr); err != nil {
		return nil, err
	}
	return tokens.New(client, &provider{
		client: client, form: raw.Form{Provider: "Gmail", Bytes: maxBytes},
		path: "/gmail/v1/users/" + url.PathEscape(cmp.Or(s.User, "me")) + "/messages/send",
		user: cmp.Or(s.User, login.Subject, "the mailbox that logged in"),
	}, source), nil
}

// provider sends by POST /gmail/v1/users/{user}/messages/send, and by its upload form.
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
	return p.form.Compose(m, p.request)
}

func (p *provider) request(src mime.Source) *api.Request {
	if src.Size() > maxInline {
		return &api.Request{Method: "POST", Path: "/upload" + p.path + "?uploadType=media", Body: api.Payload{raw.Bytes(src)},
			Header: []string{"Content-Type", "message/rfc822", "Accept", "application/json"}}
	}
	var j api.Object
	j.Stream("raw", raw.Base64URL(src))
	return api.PostJSON(p.path, j.End())
}

// Interpret reads {"id":…,"threadId":…,"labelIds":…} or an error.
func (p *provider) Interpret(a *api.Answer, _ *api.Call) api.Verdict {
	if a.Status >= 200 && a.Status < 300 {
		var ok struct{ ID string }
		if err := json.Unmarshal(a.Body, &ok); err == nil && ok.ID != "" {
			return api.Verdict{ID: ok.ID}
		}
		return api.Verdict{Err: api.NotTheirs(a, "Gmail")}
	}
	e, rule := api.Classify(a, problemOf(a), rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// problemOf reads {"error":{"code":…,"message":…,"errors":[{"reason":…}],"status":…}}.
func problemOf(a *api.Answer) api.Problem {
	var w struct {
		Error struct {
			Message, Status string
			Errors          []struct{ Reason string }
		}
	}
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &w) != nil || w.Error.Message == "" {
		return api.Problem{}
	}
	name := w.Error.Status
	if len(w.Error.Errors) > 0 && w.Error.Errors[0].Reason != "" {
		name = w.Error.Errors[0].Reason
	}
	return api.Problem{Name: api.Line(name), Message: w.Error.Message, Own: true}
}

// Account sends nothing at all: who may send is told that the message is missing. With the scope gmail.send alone
// there is nothing that could be read.
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := p.client.Do(ctx, api.PostJSON(p.path, api.Payload{{Literal: []byte("{}")}}))
	if err != nil {
		return nil, err
	}
	w := problemOf(a)
	if a.Status == 400 && (w.Name == "invalidArgument" || w.Name == "INVALID_ARGUMENT") {
		return a, nil
	}
	if !w.Own && a.Status < 300 {
		return a, &upstream.Error{Class: upstream.Account, Status: a.Status, Err: errors.New("the answer is not from Gmail; check base_url")}
	}
	e, _ := api.Classify(a, w, rules)
	return a, e
}

// Findings says what a token that is right proves.
func (p *provider) Findings(context.Context, *api.Answer, []string) []upstream.Finding {
	return []upstream.Finding{upstream.Finef("key", "the token is valid, and may send as %s", p.user),
		upstream.Finef("domain", "the scope for sending does not tell which other addresses the mailbox may send as")}
}

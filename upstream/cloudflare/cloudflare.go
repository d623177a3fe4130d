// Package cloudflare sends by Cloudflare Email Sending, https://developers.cloudflare.com/email-service/
package cloudflare

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/raw"
)

// Limits, https://developers.cloudflare.com/email-service/platform/limits/
const (
	maxRecipients = 50
	maxBytes      = 5 << 20 // of the message
	maxRequest    = 2*maxBytes + 1<<20
)

// rules: https://developers.cloudflare.com/email-service/api/send-emails/rest-api/ (codes),
// https://developers.cloudflare.com/email-service/api/send-emails/workers-api/ (E_ words) and
// https://developers.cloudflare.com/fundamentals/api/troubleshooting/ (codes of all of Cloudflare's APIs)
var rules = []api.Rule{
	{Words: "e_header", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Words: "e_content_too_large", Class: upstream.Unrepresentable, Code: "5.3.4"},
	{Words: "e_sender", Class: upstream.Account, Sender: true},
	{Words: "e_recipient_not_allowed", Class: upstream.Account}, // until a domain is onboarded
	{Words: "e_recipient_suppressed", Class: upstream.Permanent, Code: "5.7.1", Search: true},
	{Name: "10001", Words: "recipients", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "10001", Class: upstream.Unrepresentable, Code: "5.6.0", Search: true},
	{Name: "10200", Class: upstream.Unrepresentable, Code: "5.3.4"},
	{Name: "10201", Class: upstream.Temporary}, // something on the way took the length away
	{Name: "10202", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "10203", Class: upstream.Account, Sender: true}, // for a zone, or the account
	{Name: "10101", Class: upstream.Account},
	{Name: "10102", Class: upstream.Account},
	{Name: "10103", Class: upstream.Account},
	{Name: "10105", Class: upstream.Account},
	{Name: "10004", Class: upstream.Throttled},
	{Name: "971", Class: upstream.Throttled},
	{Name: "6003", Class: upstream.Account},  // what is no token
	{Name: "7003", Class: upstream.Account},  // what is no account
	{Name: "9109", Class: upstream.Account},  // an unknown token
	{Name: "10000", Class: upstream.Account}, // not found, or not authenticated
	{Status: 400, Class: upstream.Temporary}, // one that is new here
}

// Kind is Cloudflare.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "cloudflare", Doc: "Cloudflare Email Sending (raw MIME, only header fields on its list)", Changes: changes(),
		Traits: upstream.Traits{NewID: true, Bcc: upstream.BccEnvelope, Recipients: maxRecipients, Bytes: maxBytes, Later: "refusals at once; a Queues subscription"},
		New:    func() upstream.Settings { return &settings{Settings: api.Defaults()} },
		Setup: []upstream.Question{
			{Key: "account_id", Text: "Account id, as the dashboard shows it", Flag: "account-id", Usage: "`id` of the Cloudflare account"},
			{Key: "api_token", Text: "API token (not shown), or where it is kept: env:NAME, file:/path", Secret: true, Flag: "api-token",
				Default: func(map[string]string) string { return "env:CLOUDFLARE_API_TOKEN" }},
		},
	}
}

// changes lists what Cloudflare changes in every mail.
func changes() []string {
	return append(raw.Changes(), raw.SevenBitChange,
		"Message-ID and Date are replaced; the originals are kept in X-Original-Message-ID and X-Original-Date, and the id is added to the end of References",
		"the envelope sender is Cloudflare's: bounces go there, not to MAIL FROM",
		"trace fields and fields of mail programs are removed (Received, signatures, Authentication-Results, Delivered-To, Resent-*, Thread-Index, "+
			"User-Agent and the like), and so is a Sender equal to From; mail with other fields that are not on Cloudflare's list goes to the next of via",
		"long References lose ids from the middle until they fit into 2,048 bytes; Auto-Submitted, Importance, Priority and Sensitivity lose their parameters")
}

// form is how Cloudflare takes messages.
func form() raw.Form {
	return raw.Form{Provider: "Cloudflare", Bytes: maxBytes, NewID: true, Edits: edits, Check: check}
}

type settings struct {
	api.Settings
	AccountID string          `toml:"account_id"`
	APIToken  upstream.Secret `toml:"api_token"`
}

var accountForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	var problem error
	switch {
	case s.AccountID == "":
		problem = &upstream.KeyError{Key: "account_id", Problem: "is missing", Hint: "the dashboard shows it on the account's home page"}
	case !accountForm.MatchString(s.AccountID):
		problem = &upstream.KeyError{Key: "account_id", Problem: "must be the id of an account", Hint: "32 characters of 0-9 and a-f"}
	}
	client, err := api.Open(env, s.Settings, api.Service{
		URL: "https://api.cloudflare.com/client/v4", KeyHint: "make a token with the permission Email Sending at https://dash.cloudflare.com/profile/api-tokens",
		Recipients: maxRecipients, Bytes: maxRequest, Batches: true, Changes: changes(),
	}, api.Key{Setting: "api_token", Field: "Authorization", Scheme: "Bearer", Secret: s.APIToken})
	if err = errors.Join(problem, err); err != nil {
		return nil, err
	}
	return api.New(client, &provider{client: client, path: "/accounts/" + s.AccountID + "/email/sending/send_raw",
		form: form()}), nil
}

// provider sends by POST /accounts/{account_id}/email/sending/send_raw,
// https://developers.cloudflare.com/api/resources/email_sending/methods/send_raw
type provider struct {
	client *api.Client
	path   string
	form   raw.Form
}

// Refuses leaves header and content to Compose.
func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) {
	e := p.form.Refuses(m)
	return e, e != nil
}

// Compose writes envelope and message. The sender is that of the header: Cloudflare sees by it whether the account may send.
func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	message, e := p.form.Text(m)
	if e != nil {
		return nil, e
	}
	from, e := api.Sender(m)
	if e != nil {
		return nil, e
	}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		j.Field("from", from)
		j.Field("recipients", c.Addresses())
		j.Stream("mime_message", message)
		return api.PostJSON(p.path, j.End()), nil
	}, nil
}

// answer is what every call gets.
type answer struct {
	Success bool
	Errors  []struct {
		Code    json.Number
		Message string
	}
	Result *struct {
		MessageID        string `json:"message_id"`
		Delivered        []string
		Queued           []string
		PermanentBounces []string `json:"permanent_bounces"`
	}
}

// Interpret reads who was delivered to, is queued, or bounced.
func (p *provider) Interpret(a *api.Answer, c *api.Call) api.Verdict {
	got, problem := read(a)
	if a.Status >= 200 && a.Status < 300 {
		switch {
		case got.Success && got.Result != nil:
			return taken(a, got, c)
		case !problem.Own:
			return api.Verdict{Err: api.NotTheirs(a, "Cloudflare")}
		}
	}
	e, rule := api.Classify(a, problem, rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// taken sorts the recipients of a message that was taken.
func taken(a *api.Answer, got answer, c *api.Call) api.Verdict {
	id := got.Result.MessageID
	if id == "" {
		id = a.Header.Get("Cf-Ray") // by which Cloudflare finds the request
	}
	told := raw.Told{}
	for _, list := range [][]string{got.Result.Delivered, got.Result.Queued} {
		for _, address := range list {
			told.Add(address, api.Part{ID: id})
		}
	}
	for _, address := range got.Result.PermanentBounces {
		e := api.Errorf(upstream.Permanent, "5.0.0", "Cloudflare says that the message to %s bounced for good", api.Line(address))
		e.Status = a.Status
		told.Add(address, api.Part{Err: e})
	}
	return api.Verdict{ID: id, Parts: told.Parts(c, a.Status)}
}

// read reads {"success":…,"errors":[{"code":…,"message":…}],"result":{…}}.
func read(a *api.Answer) (got answer, problem api.Problem) {
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &got) != nil || got.Success || len(got.Errors) == 0 {
		return got, problem
	}
	first := got.Errors[0]
	return got, api.Problem{Name: api.Line(first.Code.String()), Message: first.Message, Own: true}
}

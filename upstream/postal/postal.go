// Package postal sends by the API of a Postal server, https://docs.postalserver.io/developer/api
package postal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
	"mailhatch/upstream/raw"
)

// Limits: a server's owner sets the largest message (max_message_size, 14 MB by default,
// https://docs.postalserver.io/config/options); the server itself says so where it is less than ours.
const (
	maxRecipients = 50
	maxBytes      = 50 << 20 // of the message
	maxRequest    = maxBytes/3*4 + 1<<20
)

// rules: https://docs.postalserver.io/developer/api and https://apiv1.postalserver.io/controllers/send.html (errors). They come with status 200.
var rules = []api.Rule{
	{Name: "InvalidServerAPIKey", Class: upstream.Account},
	{Name: "AccessDenied", Class: upstream.Account},
	{Name: "ServerSuspended", Class: upstream.Account},
	{Name: "UnauthenticatedFromAddress", Class: upstream.Account, Sender: true},
	{Name: "InternalServerError", Class: upstream.Temporary},
	{Name: "NoRecipients", Class: upstream.Permanent, Code: "5.1.3"},
	{Name: "ValidationError", Words: "address", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "ValidationError", Class: upstream.Permanent},
	{Status: 200, Class: upstream.Temporary},
}

// Kind is Postal.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "postal", Doc: "A Postal server's API send/raw (raw MIME)", Changes: changes(),
		Traits: upstream.Traits{MailFrom: true, Bcc: upstream.BccEnvelope, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New:    func() upstream.Settings { return &settings{Settings: api.Defaults(), Events: events.Defaults()} },
		Setup: []upstream.Question{
			{Key: "base_url", Text: "Address of the server", Flag: "base-url", Usage: "`address` of the Postal server: https://postal.example.com"},
			api.KeyQuestion("POSTAL_API_KEY"),
		},
	}
}

// changes lists what Postal changes in every mail.
func changes() []string {
	return append(raw.Changes(),
		"the envelope sender is kept; bounces go to the return path of the Postal server",
		"Postal adds Received and DKIM-Signature, and tracks opens and clicks if it has a tracking domain")
}

type settings struct {
	api.Settings
	APIKey upstream.Secret `toml:"api_key"`
	Events events.Settings `toml:"events"`
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	if s.BaseURL == "" {
		return nil, &upstream.KeyError{Key: "base_url", Problem: "is missing", Hint: `the address of the server: "https://postal.example.com"`}
	}
	key := api.Key{Setting: "api_key", Field: "X-Server-API-Key", Secret: s.APIKey}
	client, err := api.Open(env, s.Settings, api.Service{
		KeyHint: "make one for the server under Credentials, of type API", Recipients: maxRecipients, Bytes: maxRequest, Batches: true,
		Changes: changes(),
	}, key)
	listener, listenErr := s.Events.Open(env, ways)
	if err = errors.Join(err, listenErr); err != nil {
		return nil, err
	}
	return &telling{api.New(client, &provider{client: client, form: raw.Form{Provider: "Postal", Bytes: maxBytes}}), &feedback{listener}}, nil
}

// telling is the upstream of kind postal.
type telling struct {
	*api.Upstream
	*feedback
}

// provider sends by POST /api/v1/send/raw, https://docs.postalserver.io/developer/api
type provider struct {
	client *api.Client
	form   raw.Form
}

// Refuses can tell of all mail.
func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) { return p.form.Refuses(m), true }

// Compose writes envelope and message.
func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	src, e := p.form.Message(m)
	if e != nil {
		return nil, e
	}
	from := m.From
	if from == "" { // Postal refuses the null sender
		sender, e := api.From(m)
		if e != nil {
			return nil, e
		}
		from = sender[0].Addr
	}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		j.Field("mail_from", from)
		j.Field("rcpt_to", c.Addresses())
		j.Stream("data", raw.Base64(src))
		return api.PostJSON("/api/v1/send/raw", j.End()), nil
	}, nil
}

// answer is what each call gets, with status 200 in nearly all cases.
type answer struct {
	Status string
	Data   json.RawMessage
}

// Interpret reads {"status":"success","data":{"message_id":…,"messages":{address:{"id":…}}}} or an error.
func (p *provider) Interpret(a *api.Answer, _ *api.Call) api.Verdict {
	got, problem := read(a)
	if a.Status == 200 && got.Status == "success" {
		var ok struct {
			ID string `json:"message_id"`
		}
		if json.Unmarshal(got.Data, &ok) == nil && ok.ID != "" {
			return api.Verdict{ID: ok.ID}
		}
	}
	if a.Status >= 200 && a.Status < 300 && !problem.Own {
		return api.Verdict{Err: api.NotTheirs(a, "Postal")}
	}
	e, rule := api.Classify(a, problem, rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// read reads {"status":"error","data":{"code":…,"message":…}} and "parameter-error", which has no code.
func read(a *api.Answer) (got answer, problem api.Problem) {
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &got) != nil || got.Status == "success" {
		return got, problem
	}
	var w struct{ Code, Message string }
	if json.Unmarshal(got.Data, &w) != nil || w.Code == "" && w.Message == "" {
		return got, problem
	}
	if got.Status == "parameter-error" && w.Code == "" {
		w.Code = "ValidationError"
	}
	return got, api.Problem{Name: api.Line(w.Code), Message: w.Message, Own: true}
}

// Account asks for a message that is not there: only a key that is right learns that.
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := p.client.Do(ctx, &api.Request{Method: "POST", Path: "/api/v1/messages/message", Body: api.Payload{{Literal: []byte(`{"id":0}`)}},
		Header: []string{"Content-Type", "application/json"}})
	if err != nil {
		return nil, err
	}
	got, problem := read(a)
	if a.Status == 200 && (got.Status == "success" || problem.Name == "MessageNotFound") {
		return a, nil
	}
	if a.Status == 200 && !problem.Own {
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: errors.New("the answer is not from Postal; check base_url")}
	}
	e, _ := api.Classify(a, problem, rules)
	return a, e
}

// Findings says what a key that is right proves.
func (p *provider) Findings(context.Context, *api.Answer, []string) []upstream.Finding {
	return []upstream.Finding{upstream.Finef("key", "valid"), upstream.Finef("domain", "Postal's API does not list domains")}
}

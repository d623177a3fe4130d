// Package mandrill sends by Mailchimp Transactional (Mandrill), https://mailchimp.com/developer/transactional/api/messages/
package mandrill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
	"mailhatch/upstream/raw"
)

// Limits, https://mailchimp.com/developer/transactional/api/messages/send-mime-document/
const (
	maxRecipients = 10       // of one request: with more Mandrill no longer says whom it refuses
	maxBytes      = 25 << 20 // of the message
	maxRequest    = 2*maxBytes + 1<<20
)

// rules: https://mailchimp.com/developer/transactional/docs/fundamentals/#errors and the errors of the call's own
// documentation. Statuses say little: most errors come with 500.
var rules = []api.Rule{
	{Name: "Invalid_Key", Class: upstream.Account},
	{Name: "PaymentRequired", Class: upstream.Account},
	{Name: "Unknown_Subaccount", Class: upstream.Account},
	{Name: "PoorReputation", Class: upstream.Account},
	{Name: "ServiceUnavailable", Class: upstream.Temporary},
	{Name: "GeneralError", Class: upstream.Temporary},
	{Name: "ValidationError", Words: `"key"`, Class: upstream.Account},
	{Name: "ValidationError", Words: "api key", Class: upstream.Account},
	{Name: "ValidationError", Words: `"to"`, Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "ValidationError", Words: "address", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "ValidationError", Class: upstream.Unrepresentable, Code: "5.6.0"},
}

// reasons are those for which a recipient is rejected, https://mailchimp.com/developer/transactional/docs/outbound-email/#rejections
var reasons = map[string]upstream.Error{
	"hard-bounce":     {Class: upstream.Permanent, Code: "5.1.1"},
	"soft-bounce":     {Class: upstream.Permanent, Code: "5.2.0"}, // many of them
	"spam":            {Class: upstream.Permanent, Code: "5.7.1"},
	"unsub":           {Class: upstream.Permanent, Code: "5.7.1"},
	"custom":          {Class: upstream.Permanent, Code: "5.7.1"},
	"rule":            {Class: upstream.Permanent, Code: "5.7.1"},
	"invalid":         {Class: upstream.Permanent, Code: "5.1.3"},
	"invalid-sender":  {Class: upstream.Account, Sender: true},
	"unsigned":        {Class: upstream.Account, Sender: true},
	"test-mode-limit": {Class: upstream.Account},
}

// Kind is Mandrill.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "mandrill", Doc: "Mailchimp Transactional's (Mandrill's) send-raw (raw MIME)", Changes: changes(),
		Traits: upstream.Traits{NewID: true, Bcc: upstream.BccEnvelope, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New:    func() upstream.Settings { return &settings{Settings: api.Defaults(), Events: events.Defaults()} },
		Setup:  []upstream.Question{api.KeyQuestion("MANDRILL_API_KEY")},
	}
}

// changes lists what Mandrill changes in every mail.
func changes() []string {
	return append(raw.Changes(), raw.SevenBitChange,
		"the envelope sender is Mandrill's: bounces go there, not to MAIL FROM",
		"X-MC-Track, X-MC-PreserveRecipients and X-MC-Metadata are added, so that Mandrill tracks nothing and leaves To and Cc unchanged; Mandrill removes them",
		"Mandrill adds Received, DKIM-Signature, Feedback-ID and X-Mandrill-User and, depending on the account's settings, its own Message-ID and Sender; "+
			"the original id is kept in X-Original-Message-ID and at the end of References",
		"each request has at most ten recipients, so that Mandrill reports refusals at once")
}

type settings struct {
	api.Settings
	APIKey upstream.Secret `toml:"api_key"`
	Events events.Settings `toml:"events"`
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	client, err := api.Open(env, s.Settings, api.Service{
		URL: "https://mandrillapp.com/api/1.0", KeyHint: "make one at https://mandrillapp.com/settings",
		Recipients: maxRecipients, Bytes: maxRequest, Batches: true, Changes: changes(),
	}, api.BodyKey{Key: api.Key{Setting: "api_key", Secret: s.APIKey}})
	listener, listenErr := s.Events.Open(env, ways)
	if listenErr == nil && listener.Listening().Webhook && s.Events.URL == "" {
		listenErr = &upstream.KeyError{Key: "events.url", Problem: "is missing: Mandrill signs with the address that it was given", Hint: "the same one as at Mandrill"}
	}
	if err = errors.Join(err, listenErr); err != nil {
		return nil, err
	}
	p := &provider{client: client, key: s.APIKey, form: raw.Form{Provider: "Mandrill", Bytes: maxBytes, NewID: true}}
	return &telling{api.New(client, p), newFeedback(p, listener)}, nil
}

// telling is the upstream of kind mandrill.
type telling struct {
	*api.Upstream
	*feedback
}

// provider sends by POST /messages/send-raw.json.
type provider struct {
	client *api.Client
	key    upstream.Secret
	form   raw.Form
}

// Refuses leaves the content to Compose.
func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) {
	e := p.form.Refuses(m)
	return e, e != nil
}

// instructions are fields that Mandrill follows and takes out, https://mailchimp.com/developer/transactional/docs/smtp-integration/#x-mc-headers;
// those of the operator's rules stay.
func instructions(m *upstream.Mail) (list []mime.Edit) {
	id, err := json.Marshal(map[string]string{api.IDName: m.ID})
	if err != nil {
		return nil
	}
	for _, f := range [...][2]string{{"X-MC-Track", "none"}, {"X-MC-PreserveRecipients", "true"}, {"X-MC-Metadata", string(id)}} {
		if !m.IsOwn(f[0]) {
			list = append(list, mime.Edit{Op: mime.Replace, Name: f[0], Value: f[1]})
		}
	}
	return list
}

// Compose writes key, envelope and message. The sender is that of the header, by which Mandrill sees who may send.
func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	message, e := p.form.Text(m, instructions(m)...)
	if e != nil {
		return nil, e
	}
	from, e := api.Sender(m)
	if e != nil {
		return nil, e
	}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		j.Secret("key", p.key)
		j.Field("from_email", from)
		j.Field("to", c.Addresses())
		j.Field("async", false)
		j.Stream("raw_message", message)
		return p.request("/messages/send-raw.json", j.End()), nil
	}, nil
}

func (p *provider) request(path string, body api.Payload) *api.Request {
	return api.PostJSON(path, body)
}

// result is what became of one recipient.
type result struct {
	Email, Status string
	ID            string `json:"_id"`
	Reason        string `json:"reject_reason"`
}

// part sorts a recipient.
func (r result) part(status int) api.Part {
	switch r.Status {
	case "sent", "queued", "scheduled":
		return api.Part{ID: r.ID}
	case "invalid":
		r.Reason = "invalid"
	}
	e := reasons[r.Reason] // one that is new here is Temporary
	e.Status = status
	e.Err = errors.New("Mandrill did not take the message: " + api.Line(r.Status+" "+r.Reason))
	return api.Part{Err: &e}
}

// Interpret reads one result for each recipient, or {"status":"error",…}.
func (p *provider) Interpret(a *api.Answer, c *api.Call) api.Verdict {
	if a.Status >= 200 && a.Status < 300 {
		var list []result
		if bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("[")) && json.Unmarshal(a.Body, &list) == nil &&
			slices.ContainsFunc(list, func(r result) bool { return r.Status != "" }) {
			told := raw.Told{}
			for _, r := range list {
				told.Add(r.Email, r.part(a.Status))
			}
			return api.Verdict{Parts: told.Parts(c, a.Status)}
		}
		if !problemOf(a).Own {
			return api.Verdict{Err: api.NotTheirs(a, "Mandrill")}
		}
	}
	e, rule := api.Classify(a, problemOf(a), rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// problemOf reads {"status":"error","code":-1,"name":"Invalid_Key","message":…}.
func problemOf(a *api.Answer) api.Problem {
	var w struct{ Status, Name, Message string }
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &w) != nil || w.Status != "error" || w.Name == "" {
		return api.Problem{}
	}
	return api.Problem{Name: api.Line(w.Name), Message: w.Message, Own: true}
}

// Account asks for the sending domains, https://mailchimp.com/developer/transactional/api/senders/list-sender-domains/
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	var j api.Object
	j.Secret("key", p.key)
	a, err := p.client.Do(ctx, p.request("/senders/domains.json", j.End()))
	if err != nil {
		return nil, err
	}
	problem := problemOf(a)
	if a.Status == 200 && bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("[")) {
		return a, nil
	}
	if a.Status == 200 && !problem.Own {
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: errors.New("the answer is not from Mandrill; check base_url")}
	}
	e, _ := api.Classify(a, problem, rules)
	if e.Class == upstream.Account {
		e.Status = 401 // which it is, whatever the answer says
	}
	return a, e
}

// Findings compares the domains.
func (p *provider) Findings(_ context.Context, a *api.Answer, domains []string) []upstream.Finding {
	list := []upstream.Finding{upstream.Finef("key", "valid")}
	var got []struct {
		Domain   string
		Signing  bool   `json:"valid_signing"`
		Verified string `json:"verified_at"`
	}
	if json.Unmarshal(a.Body, &got) != nil {
		return append(list, upstream.Finding{Name: "domain", Level: upstream.Warn, Text: "the list of domains cannot be read"})
	}
	var known []api.Domain
	for _, r := range got {
		d := api.Domain{Name: r.Domain, Status: "verified", Level: upstream.Fine}
		switch {
		case r.Verified == "":
			d.Status, d.Level = "not verified", upstream.Fail
		case !r.Signing:
			d.Status, d.Level = "not set up for DKIM and SPF", upstream.Fail
		}
		known = append(known, d)
	}
	return append(list, api.DomainFindings(domains, known, true, upstream.Fail, "verify the domain under Sending Domains in Mandrill")...)
}

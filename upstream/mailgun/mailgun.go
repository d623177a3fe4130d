// Package mailgun sends by Mailgun's API, https://documentation.mailgun.com/docs/mailgun/api-reference/api-overview
package mailgun

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
	"mailhatch/upstream/raw"
)

// Limits of Mailgun, https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages
const (
	maxRecipients = 1000
	maxBytes      = 25 << 20 // of the message; the form around it gets maxForm more
	maxForm       = 256 << 10
	maxOptions    = 16 << 10 // of all o:, h:, v: and t: fields
)

// rules: https://documentation.mailgun.com/docs/mailgun/api-reference/api-overview (errors)
var rules = []api.Rule{
	{Status: 400, Words: "'to' parameter", Own: true, Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Status: 400, Words: "to parameter", Own: true, Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Status: 400, Words: "limit exceeded, try again", Class: upstream.Throttled},
	{Status: 403, Words: "limit exceeded, try again", Class: upstream.Throttled},
	{Status: 403, Words: "try again", Class: upstream.Throttled, Wait: time.Minute},
	{Status: 400, Words: "not allowed to send", Class: upstream.Account},
}

// hosts: https://documentation.mailgun.com/docs/mailgun/api-reference/api-overview (base URL)
var hosts = map[string]string{"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}

// Kind is Mailgun.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "mailgun", Doc: "Mailgun's API messages.mime (raw MIME)", Changes: changes(),
		Traits: upstream.Traits{Bcc: upstream.BccEnvelope, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New: func() upstream.Settings {
			return &settings{Settings: api.Defaults(), Region: "us", Events: events.Defaults(), LogDelay: upstream.Duration{Duration: traceDelay}}
		},
		Setup: []upstream.Question{
			api.RegionQuestion("us", "eu"),
			{Key: "domain", Text: "Sending domain as Mailgun shows it", Flag: "domain",
				Usage:   "Mailgun's sending `domain` (default: that of --from)",
				Default: func(known map[string]string) string { return known[upstream.FromDomain] }},
			api.KeyQuestion("MAILGUN_API_KEY"),
		},
	}
}

// changes lists what Mailgun changes in every mail.
func changes() []string {
	return []string{
		"the message is sent unchanged, without Bcc, Return-Path and providers' control headers",
		"the envelope sender is Mailgun's: bounces go there, not to MAIL FROM",
		"Mailgun adds Received, DKIM-Signature, X-Mailgun-* and Sender fields; a missing Message-ID is made from the queue id",
		"header lines that are not fields are indented as continuation lines or become Comments; a From without an address gets the envelope sender's",
		"tracking is switched off",
	}
}

type settings struct {
	api.Settings
	APIKey   upstream.Secret   `toml:"api_key"`
	Domain   string            `toml:"domain"`
	Region   string            `toml:"region"`
	TestMode bool              `toml:"test_mode"`
	Events   events.Settings   `toml:"events"`
	LogDelay upstream.Duration `toml:"log_delay"` // how late the log may be
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	client, err := api.Open(env, s.Settings, api.Service{
		URL:        cmp.Or(hosts[s.Region], hosts["us"]), // another region is an error of its own
		KeyHint:    "take a sending key of the domain, or make one at https://app.mailgun.com/settings/api_security",
		Recipients: maxRecipients, Bytes: maxBytes + maxForm, Batches: true, // the message shows its own To to every recipient
		Changes: changes(),
	}, api.Basic("api", s.APIKey))
	listener, listenErr := s.Events.Open(env, ways)
	errs := []error{err, listenErr, events.CheckLogDelay(s.LogDelay), upstream.OneOf("region", s.Region, "us", "eu")}
	switch {
	case s.Domain == "":
		errs = append(errs, &upstream.KeyError{Key: "domain", Problem: "is missing", Hint: `the sending domain as Mailgun shows it: "mg.example.com"`})
	case strings.ContainsAny(s.Domain, "/\\@ ?#") || !api.IsASCII(s.Domain):
		errs = append(errs, &upstream.KeyError{Key: "domain", Problem: "must be a domain name alone", Hint: `such as "mg.example.com"`})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	g := &provider{client: client, key: s.APIKey, domain: s.Domain, test: s.TestMode, control: s.PassControlHeaders}
	return &withDomain{api.New(client, g), newFeedback(g, listener, s.LogDelay.Duration), s.TestMode}, nil
}

// ways: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/logs. Limits of the log are not documented.
var ways = events.Ways{Tells: upstream.Tells{Poll: true, Webhook: true, Signed: true}, Pace: time.Second}

// withDomain is the upstream of kind mailgun.
type withDomain struct {
	*api.Upstream
	*feedback
	test bool
}

// provider sends by POST /v3/{domain}/messages.mime, which takes the message as it is,
// https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages
type provider struct {
	client  *api.Client
	key     upstream.Secret
	domain  string
	test    bool
	control bool // pass_control_headers
}

func (g *provider) path() string { return "/v3/" + url.PathEscape(g.domain) + "/messages.mime" }

// Refuses leaves a mail with options of its own to Compose.
func (g *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) {
	if _, e := g.options(m); e != nil || g.control || len(m.Own) > 0 {
		return e, e != nil
	}
	return g.form().Refuses(m), true
}

func (g *provider) form() raw.Form {
	return raw.Form{Provider: "Mailgun", Bytes: maxBytes, Domain: g.domain, Options: optionFields}
}

// Compose writes the form around the message.
func (g *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	options, e := g.options(m)
	if e != nil {
		return nil, e
	}
	src, e := g.form().Message(m)
	if e != nil {
		return nil, e
	}
	file := raw.Bytes(src)
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		boundary := g.boundary(m, c)
		var b bytes.Buffer
		b.Grow((len(c.Keys) + len(options) + 1) * fieldBytes)
		for _, key := range [][]mime.Address{c.To, c.Cc, c.Bcc} {
			for _, a := range key {
				writeField(&b, boundary, "to", a.Addr)
			}
		}
		for _, o := range options {
			writeField(&b, boundary, o.Name, o.Value)
		}
		b.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"message\"; filename=\"message.mime\"\r\n" +
			"Content-Type: message/rfc822\r\n\r\n")
		return &api.Request{
			Method: "POST", Path: g.path(),
			Header: []string{"Content-Type", "multipart/form-data; boundary=" + boundary, "Accept", "application/json"},
			Body:   api.Payload{{Literal: b.Bytes()}, file, {Literal: []byte("\r\n--" + boundary + "--\r\n")}},
		}, nil
	}, nil
}

// boundary is the same for each attempt and, made with the key, foreseen by no one who writes messages.
func (g *provider) boundary(m *upstream.Mail, c *api.Call) string {
	mac := hmac.New(sha256.New, []byte(g.key.Reveal()))
	mac.Write([]byte(c.Key(m)))
	return "mailhatch-" + hex.EncodeToString(mac.Sum(nil)[:16])
}

const fieldBytes = 160 // of a usual field of the form

var formNames = strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A")

func writeField(b *bytes.Buffer, boundary, name, value string) {
	// RFC 7578 4.2; names come from headers in part.
	for _, s := range [...]string{"--", boundary, "\r\nContent-Disposition: form-data; name=\"", formNames.Replace(name), "\"\r\n\r\n", value, "\r\n"} {
		b.WriteString(s)
	}
}

// Interpret reads {"id":…,"message":"Queued…"} or an error.
func (g *provider) Interpret(a *api.Answer, _ *api.Call) api.Verdict {
	if a.Status >= 200 && a.Status < 300 {
		var ok struct{ ID, Message string }
		err := json.Unmarshal(a.Body, &ok)
		switch {
		case err == nil && ok.Message != "" && (ok.ID != "" || strings.HasPrefix(ok.Message, "Queued")):
			return api.Verdict{ID: ok.ID}
		case bytes.HasPrefix(a.Body, []byte("Mailgun Magnificent API")): // that greets those who come to a wrong path
			return api.Verdict{Err: &upstream.Error{Class: upstream.Account, Status: a.Status,
				Err: errors.New("the answer is not that of a mail taken; check domain, region and base_url: " + a.Words(api.Problem{}))}}
		}
		return api.Verdict{Err: api.NotTheirs(a, "Mailgun")}
	}
	e, rule := api.Classify(a, problemOf(a), rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// problemOf reads {"message":…}, or the one word Forbidden.
func problemOf(a *api.Answer) api.Problem {
	var w struct{ Message string }
	body := bytes.TrimSpace(a.Body)
	if bytes.HasPrefix(body, []byte("{")) && json.Unmarshal(body, &w) == nil && w.Message != "" {
		return api.Problem{Message: w.Message, Own: true}
	}
	return api.Problem{Message: strings.Trim(string(body[:min(len(body), 100)]), `"`)}
}

// Package sparkpost sends by the API of SparkPost (Bird), https://developers.sparkpost.com/api/transmissions/
package sparkpost

import (
	"cmp"
	"errors"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
	"mailhatch/upstream/raw"
)

// Limits, https://developers.sparkpost.com/api/transmissions/; as to recipients, how many may share an answer.
const (
	maxRecipients = 1000
	maxBytes      = 20 << 20 // of the message
	maxRequest    = 2*maxBytes + 1<<20
	maxMetadata   = 200 // bytes of a value; SparkPost takes 1,000 in all
)

// hosts by region, https://developers.sparkpost.com/api/#header-api-endpoints
var hosts = map[string]string{"us": "https://api.sparkpost.com", "eu": "https://api.eu.sparkpost.com"}

// rules: https://support.sparkpost.com/docs/tech-resources/extended-error-codes
var rules = []api.Rule{
	{Name: "2103", Class: upstream.Account}, // of the sandbox domain, for ever
	{Status: 420, Words: "sandbox", Class: upstream.Account},
	{Status: 420, Words: "monthly", Class: upstream.Throttled, Wait: 12 * time.Hour},
	{Status: 420, Words: "daily", Class: upstream.Throttled, Wait: 2 * time.Hour},
	{Status: 420, Class: upstream.Throttled, Wait: 10 * time.Minute},
	{Name: "7000", Class: upstream.Account, Sender: true},
	{Name: "7001", Class: upstream.Account, Sender: true},
	{Words: "sending domain", Class: upstream.Account, Sender: true},
	{Words: "suppress", Class: upstream.Permanent, Code: "5.7.1", Search: true},
	{Name: "1902", Class: upstream.Permanent, Code: "5.7.1", Search: true},
	{Name: "5002", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "1300", Words: "address", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "1300", Words: "recipient", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "1400", Words: "address", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "1300", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "1301", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "1305", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "1502", Class: upstream.Temporary},
	{Name: "1901", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "1910", Class: upstream.Account},
	{Name: "3000", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "3001", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "3002", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "3005", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "3010", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "3020", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "3040", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Name: "3050", Class: upstream.Unrepresentable, Code: "5.6.0"},
	{Status: 400, Class: upstream.Temporary}, // one that is new here
	{Status: 422, Class: upstream.Temporary},
}

// Kind is SparkPost.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "sparkpost", Doc: "SparkPost (Bird) transmissions (raw MIME)", Changes: changes(),
		Traits: upstream.Traits{Bcc: upstream.BccEnvelope, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New: func() upstream.Settings {
			return &settings{Settings: api.Defaults(), Region: "us", Events: events.Defaults(), LogDelay: upstream.Duration{Duration: traceDelay}}
		},
		Setup: []upstream.Question{api.KeyQuestion("SPARKPOST_API_KEY"), api.RegionQuestion("us", "eu")},
	}
}

// changes lists what SparkPost changes in every mail.
func changes() []string {
	return append(raw.Changes(), raw.SevenBitChange,
		"the envelope sender is SparkPost's: bounces go there, not to MAIL FROM",
		"SparkPost adds Received, DKIM-Signature, Feedback-ID and X-MSFBL, and may replace List-Unsubscribe; tracking of opens and clicks is switched off",
		"SparkPost reads {{ as the start of a template: mail with {{ in a header field or a text is not carried",
		"mail is sent as transactional: addresses that unsubscribed from other mail get it")
}

type settings struct {
	api.Settings
	APIKey   upstream.Secret   `toml:"api_key"`
	Region   string            `toml:"region"`
	Events   events.Settings   `toml:"events"`
	LogDelay upstream.Duration `toml:"log_delay"` // how late events may be
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	client, err := api.Open(env, s.Settings, api.Service{
		URL:     cmp.Or(hosts[s.Region], hosts["us"]), // another region is an error of its own
		KeyHint: "make one with the permission Transmissions: Read/Write at https://app.sparkpost.com/account/api-keys, in the EU at https://app.eu.sparkpost.com/account/api-keys",
		// The message shows its own To to every recipient.
		Recipients: maxRecipients, Bytes: maxRequest, Batches: true, Changes: changes(),
	}, api.Key{Setting: "api_key", Field: "Authorization", Secret: s.APIKey})
	listener, listenErr := s.Events.Open(env, ways)
	if err = errors.Join(err, listenErr, events.CheckLogDelay(s.LogDelay), upstream.OneOf("region", s.Region, "us", "eu")); err != nil {
		return nil, err
	}
	p := &provider{client: client, form: raw.Form{Provider: "SparkPost", Bytes: maxBytes, Check: checkHeader}}
	return &telling{api.New(client, p), newFeedback(p, listener, s.LogDelay.Duration)}, nil
}

// telling is the upstream of kind sparkpost.
type telling struct {
	*api.Upstream
	*feedback
}

// provider sends by POST /api/v1/transmissions.
type provider struct {
	client *api.Client
	form   raw.Form
}

// Refuses leaves the content to Compose.
func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) {
	e := p.form.Refuses(m)
	return e, e != nil
}

type sending struct {
	OpenTracking  bool `json:"open_tracking"`
	ClickTracking bool `json:"click_tracking"`
	Transactional bool `json:"transactional"`
}

type recipient struct {
	Address struct {
		Email string `json:"email"`
	} `json:"address"`
}

// Compose writes options, recipients and message: the recipients alone decide who gets it, the header is not read for that.
func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	message, e := p.form.Text(m)
	if e != nil {
		return nil, e
	}
	if e := checkTexts(m.Message); e != nil {
		return nil, e
	}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		j.Field("options", sending{Transactional: true})
		if len(m.ID) <= maxMetadata {
			j.Fields("metadata", api.Fields{{Name: api.IDName, Value: m.ID}})
		}
		var list []recipient
		for _, address := range c.Addresses() {
			var r recipient
			r.Address.Email = address
			list = append(list, r)
		}
		j.Field("recipients", list)
		j.Name("content")
		j.Raw(`{"email_rfc822":"`)
		j.Segment(message)
		j.Raw(`"}`)
		return api.PostJSON("/api/v1/transmissions", j.End()), nil
	}, nil
}

// Package ses sends by the API v2 of Amazon SES, https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
package ses

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
	"mailhatch/upstream/raw"
)

// Limits of SES, https://docs.aws.amazon.com/ses/latest/dg/quotas.html
const (
	maxRecipients = 50
	maxBytes      = 40 << 20 // of the message
	maxRequest    = maxBytes/3*4 + 1<<20
)

// rules: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html (errors) and
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html
var rules = []api.Rule{
	{Name: "TooManyRequestsException", Words: "daily", Class: upstream.Throttled, Wait: time.Hour},
	{Name: "TooManyRequestsException", Class: upstream.Throttled, Wait: time.Second},
	{Name: "LimitExceededException", Words: "daily", Class: upstream.Throttled, Wait: time.Hour},
	{Name: "LimitExceededException", Class: upstream.Throttled, Wait: time.Minute},
	{Name: "ThrottlingException", Class: upstream.Throttled, Wait: time.Second},
	{Name: "AccountSuspendedException", Class: upstream.Account},
	{Name: "SendingPausedException", Class: upstream.Account},
	{Name: "MailFromDomainNotVerifiedException", Class: upstream.Account, Sender: true},
	{Name: "NotFoundException", Class: upstream.Account}, // the configuration set
	// Outside production access the addresses of recipients must be verified too; the words name which ones are not.
	{Name: "MessageRejected", Words: "not verified", Class: upstream.Account, Sender: true},
	{Name: "BadRequestException", Words: "not verified", Class: upstream.Account, Sender: true},
	{Name: "BadRequestException", Words: "address", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "BadRequestException", Words: "local part", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "BadRequestException", Words: "domain starts with", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "BadRequestException", Words: "domain contains", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "BadRequestException", Words: "missing final", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "BadRequestException", Words: "user name is missing", Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Name: "MessageRejected", Class: upstream.Permanent, Code: "5.6.0"},
	{Name: "BadRequestException", Class: upstream.Permanent},
	{Name: "ValidationException", Class: upstream.Permanent},
	{Status: 400, Name: "AccessDeniedException", Class: upstream.Account},
	{Status: 400, Name: "UnrecognizedClientException", Class: upstream.Account},
	{Status: 400, Name: "ExpiredTokenException", Class: upstream.Account},
	{Status: 400, Name: "InvalidSignatureException", Class: upstream.Account},
	{Status: 400, Name: "IncompleteSignatureException", Class: upstream.Account},
	{Status: 400, Class: upstream.Temporary}, // one that is new here
}

// Kind is Amazon SES.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "ses", Doc: "Amazon SES's API v2 (raw MIME)", Changes: changes(),
		Traits: upstream.Traits{NewID: true, Bcc: upstream.BccEnvelope, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New:    func() upstream.Settings { return &settings{Settings: api.Defaults(), Events: events.Defaults()} },
		Setup: []upstream.Question{
			{Key: "region", Text: "Region in which SES is set up", Flag: "region", Usage: "`region` of the provider's API"},
			{Key: "access_key_id", Text: "Access key id (empty: the role of this machine, or the usual AWS settings)", Optional: true, Flag: "access-key-id", Usage: "`id` of the access key"},
			{Key: "secret_access_key", Text: "Secret access key (not shown), or where it is kept: env:NAME, file:/path", Secret: true, Flag: "secret-access-key",
				Skip:    func(known map[string]string) bool { return known["access_key_id"] == "" },
				Default: func(map[string]string) string { return "env:AWS_SECRET_ACCESS_KEY" }},
		},
	}
}

// changes lists what SES changes in every mail.
func changes() []string {
	return append(raw.Changes(),
		"Message-ID and Date are replaced; the original id is kept in X-Original-Message-ID and at the end of References; the envelope sender is SES's: bounces go there, not to MAIL FROM",
		"SES adds DKIM-Signature and Feedback-ID; links and opens are tracked if the configuration set says so")
}

type settings struct {
	api.Settings
	Region           string          `toml:"region"`
	AccessKeyID      string          `toml:"access_key_id"`
	SecretAccessKey  upstream.Secret `toml:"secret_access_key"`
	SessionToken     upstream.Secret `toml:"session_token"`
	Profile          string          `toml:"profile"` // of the shared AWS config; default: the usual AWS chain
	ConfigurationSet string          `toml:"configuration_set"`
	IdentityARN      string          `toml:"identity_arn"` // of an identity that another account lends
	EventsQueue      string          `toml:"events_queue"` // URL of the queue of SQS that events are polled from
	Events           events.Settings `toml:"events"`       // secret is the ARN of the topic of SNS
}

var regionForm = regexp.MustCompile(`^[a-z0-9-]+$`)

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	var errs []error
	problem := func(key, text, hint string) {
		errs = append(errs, &upstream.KeyError{Key: key, Problem: text, Hint: hint})
	}
	signer, region, err := s.signer()
	if err != nil {
		errs = append(errs, err)
	}
	switch {
	case region == "":
		problem("region", "is missing", `the one in which SES is set up, such as "eu-west-1"; $AWS_REGION and the AWS profile are looked at too`)
	case !regionForm.MatchString(region):
		problem("region", "must be a region's name", `such as "eu-west-1"`)
		region = "" // its host is no more to blame than base_url
	}
	if s.IdentityARN != "" && !strings.HasPrefix(s.IdentityARN, "arn:") {
		problem("identity_arn", "must begin with arn:", "the ARN of the identity, as its owner shows it")
	}
	client, err := api.Open(env, s.Settings, api.Service{
		URL: "https://email." + region + ".amazonaws.com", KeyHint: "the access key, or the role, needs the right ses:SendRawEmail",
		Recipients: maxRecipients, Bytes: maxRequest, Batches: true, Changes: changes(),
	}, signer)
	listener, listenErr := s.listen(env)
	if err = errors.Join(append(errs, err, listenErr)...); err != nil {
		return nil, err
	}
	told, err := s.feedback(env, signer, listener)
	if err != nil {
		return nil, err
	}
	return &telling{told, api.New(client, &provider{client: client, form: raw.Form{Provider: "SES", Bytes: maxBytes, NewID: true}, set: s.ConfigurationSet, identity: s.IdentityARN})}, nil
}

// telling is the upstream of kind ses.
type telling struct {
	*feedback
	*api.Upstream
}

// provider sends by POST /v2/email/outbound-emails.
type provider struct {
	client   *api.Client
	form     raw.Form
	set      string // configuration_set
	identity string // identity_arn
}

// Refuses can tell of all mail.
func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) { return p.form.Refuses(m), true }

// tagForm is what values of tags are made of, https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html
var tagForm = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,256}$`)

type destination struct {
	To []string `json:"ToAddresses"`
}

type tag struct{ Name, Value string }

// Compose writes destination and message: Destination alone decides who gets it, the header is not read for that.
func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	src, e := p.form.Message(m)
	if e != nil {
		return nil, e
	}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		if p.set != "" {
			j.Field("ConfigurationSetName", p.set)
		}
		if p.identity != "" {
			j.Field("FromEmailAddressIdentityArn", p.identity)
		}
		j.Field("Destination", destination{To: c.Addresses()})
		if tagForm.MatchString(m.ID) {
			j.Field("EmailTags", []tag{{api.IDName, m.ID}})
		}
		j.Name("Content")
		j.Raw(`{"Raw":{"Data":"`)
		j.Segment(raw.Base64(src))
		j.Raw(`"}}`)
		return api.PostJSON("/v2/email/outbound-emails", j.End()), nil
	}, nil
}

// Interpret reads {"MessageId":…} or an error.
func (p *provider) Interpret(a *api.Answer, _ *api.Call) api.Verdict {
	if a.Status >= 200 && a.Status < 300 {
		var ok struct{ MessageID string }
		if err := json.Unmarshal(a.Body, &ok); err == nil && ok.MessageID != "" {
			return api.Verdict{ID: ok.MessageID}
		}
		return api.Verdict{Err: api.NotTheirs(a, "SES")}
	}
	e, rule := api.Classify(a, problemOf(a), rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// problemOf reads {"message":…}, whose type stands in X-Amzn-ErrorType or __type.
func problemOf(a *api.Answer) api.Problem {
	var w struct {
		Type    string `json:"__type"`
		Message string // in either case
	}
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &w) != nil {
		return api.Problem{}
	}
	name := a.Header.Get("X-Amzn-Errortype")
	if name == "" {
		name = w.Type
	}
	name, _, _ = strings.Cut(name, ":")
	if i := strings.LastIndexAny(name, "#"); i >= 0 {
		name = name[i+1:]
	}
	if name == "" {
		return api.Problem{}
	}
	return api.Problem{Name: api.Line(name), Message: w.Message, Own: true}
}

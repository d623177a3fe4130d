// Package sendgrid sends by SendGrid's API, https://www.twilio.com/docs/sendgrid/api-reference
package sendgrid

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// Limits of SendGrid, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/limitations
const (
	maxRecipients = 1000     // to, cc and bcc of one request together
	maxBytes      = 30 << 20 // of a request
)

// rules: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors and
// https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses
var rules = []api.Rule{
	// Given with a correct key when the plan's mails are used up.
	{Status: 401, Words: "maximum credits exceeded", Class: upstream.Throttled, Code: "quota_exceeded", Wait: 3 * time.Hour},
	{Status: 403, Words: "verified sender identity", Class: upstream.Account, Sender: true},
	{Status: 403, Words: "too many bad requests", Class: upstream.Account, Wait: time.Hour}, // a temporary block
	{Status: 400, Words: "does not contain a valid address", Own: true, Class: upstream.Permanent, Code: "5.1.3"},
	{Status: 451, Class: upstream.Account}, // data residency: the other region is the right one
}

// form: names that may not be overridden,
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send (headers)
var form = api.Form{Alternatives: true, Reserved: []string{"X-SG-ID", "X-SG-EID", smtpAPI}}

// hosts: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
var hosts = map[string]string{"global": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}

// Kind is SendGrid.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "sendgrid", Doc: "SendGrid's API v3 mail/send (JSON)", Changes: changes(),
		Traits: upstream.Traits{Apart: true, NewID: true, Bcc: upstream.BccRequest, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New: func() upstream.Settings {
			return &settings{Settings: api.Defaults(), Region: "global", OnLossy: "refuse", Events: events.Defaults(), LogDelay: upstream.Duration{Duration: traceDelay}}
		},
		Setup: []upstream.Question{api.RegionQuestion("global", "eu"), api.KeyQuestion("SENDGRID_API_KEY")},
	}
}

// changes lists what SendGrid changes in every mail.
func changes() []string {
	return append(api.JSONChanges(),
		"the original Message-ID is also added to the end of References, so that replies and follow-ups stay in one thread",
		"semicolons and commas are removed from recipients' names",
		"the parameters of a file's type (charset, method) are lost; an empty file gets one line end",
		"calendar and AMP alternatives stay alternatives",
		"tracking is switched off; SendGrid drops suppressed recipients after it has accepted the mail")
}

type settings struct {
	api.Settings
	APIKey   upstream.Secret   `toml:"api_key"`
	Region   string            `toml:"region"`
	Sandbox  bool              `toml:"sandbox"`
	OnLossy  string            `toml:"on_lossy"`
	Events   events.Settings   `toml:"events"`
	LogDelay upstream.Duration `toml:"log_delay"` // how late Email Activity may be
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	client, err := api.Open(env, s.Settings, api.Service{
		URL:        cmp.Or(hosts[s.Region], hosts["global"]), // another region is an error of its own
		KeyHint:    "make one at https://app.sendgrid.com/settings/api_keys",
		Recipients: maxRecipients, Bytes: maxBytes, Batches: true, // each personalization is a mail of its own
		Changes: changes(),
	}, api.Bearer(s.APIKey))
	listener, listenErr := s.Events.Open(env, ways)
	err = errors.Join(err, listenErr, events.CheckLogDelay(s.LogDelay), upstream.OneOf("region", s.Region, "global", "eu"), upstream.OneOf("on_lossy", s.OnLossy, "refuse", "allow"))
	if err != nil {
		return nil, err
	}
	p := &provider{client: client, sandbox: s.Sandbox, flatten: s.OnLossy == "allow", control: s.PassControlHeaders}
	return &telling{api.New(client, p), newFeedback(p, listener, s.LogDelay.Duration)}, nil
}

// telling is the upstream of kind sendgrid.
type telling struct {
	*api.Upstream
	*feedback
}

// provider sends by POST /v3/mail/send, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
type provider struct {
	client  *api.Client
	sandbox bool
	flatten bool // on_lossy = "allow"
	control bool // pass_control_headers
}

// mailbox is {"email":…,"name":…}.
type mailbox struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}

// cleanName takes out what names of recipients must not hold: ";" and ",".
func cleanName(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ';' || r == ',' || unicode.IsSpace(r) }), " ")
}

func mailboxes(list []mime.Address) []mailbox {
	out := make([]mailbox, len(list))
	for i, a := range list {
		out[i] = mailbox{a.Addr, cleanName(api.Line(a.Name))}
	}
	return out
}

type personalization struct {
	To         []mailbox  `json:"to"`
	Cc         []mailbox  `json:"cc,omitempty"`
	Bcc        []mailbox  `json:"bcc,omitempty"`
	CustomArgs api.Fields `json:"custom_args"` // at the top level it is overridden by these
	SendAt     int64      `json:"send_at,omitempty"`

	Substitutions api.Fields `json:"substitutions,omitempty"`
}

// steers reports whether X-SMTPAPI of this mail counts.
func (s *provider) steers(m *upstream.Mail) bool { return s.control || m.IsOwn(smtpAPI) }

// Refuses leaves X-SMTPAPI and odd content ids to Compose.
func (s *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) {
	if s.steers(m) && m.Message.Header.Has(smtpAPI) {
		return nil, false
	}
	for _, p := range m.Message.Root.Leaves() {
		if strings.Contains(p.ContentID, ";") {
			return nil, false
		}
	}
	return api.Refuses(m, s.flatten), true
}

// Compose writes the fields that are the same for all calls.
func (s *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	msg, e := api.ReadMessage(m, form, s.flatten)
	if e != nil {
		return nil, e
	}
	if e := checkContentIDs(msg); e != nil {
		return nil, e
	}
	var control instructions
	if s.steers(m) {
		if control, e = readSMTPAPI(m.Message.Header.Values(smtpAPI), len(m.To)); e != nil {
			return nil, e
		}
	}
	shared, err := s.shared(msg, control)
	if err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	args := append(api.Fields{{Name: api.IDName, Value: m.ID}}, control.args...)
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		to := [][]mime.Address{c.To}
		if c.Batch {
			to = slices.Collect(slices.Chunk(c.To, 1))
		}
		people := make([]personalization, len(to))
		for i := range to {
			people[i] = personalization{mailboxes(to[i]), mailboxes(c.Cc), mailboxes(c.Bcc), args, control.sendAt, control.substitutions}
		}
		j.Field("personalizations", people)
		j.Splice(shared)
		return api.PostJSON("/v3/mail/send", j.End()), nil
	}, nil
}

// shared writes all that is not about recipients.
func (s *provider) shared(msg *api.Message, control instructions) (api.Payload, error) {
	j := api.Rest(msg.Text, msg.HTML)
	j.Field("from", mailbox{msg.From.Addr, msg.From.Name})
	if len(msg.ReplyTo) == 1 {
		j.Field("reply_to", mailboxes(msg.ReplyTo)[0])
	} else if len(msg.ReplyTo) > 1 {
		j.Field("reply_to_list", mailboxes(msg.ReplyTo))
	}
	j.Field("subject", api.OrSpace(msg.Subject))
	j.Name("content")
	writeContents(j, msg)
	if len(msg.Headers) > 0 {
		j.Fields("headers", encoded(msg.Headers))
	}
	if len(control.categories) > 0 {
		j.Field("categories", control.categories)
	}
	if control.group != nil {
		j.Field("asm", control.group)
	}
	if control.pool != "" {
		j.Field("ip_pool_name", control.pool)
	}
	if len(control.sections) > 0 {
		j.Fields("sections", control.sections)
	}
	if s.sandbox {
		j.Name("mail_settings")
		j.Raw(`{"sandbox_mode":{"enable":true}}`)
	}
	j.Field("tracking_settings", control.tracking) // off, or SendGrid changes links and adds to the bodies
	err := j.Files("attachments", "content", msg.Files, file)
	return j.Part(), err
}

// Interpret reads 202, or a list of errors.
func (s *provider) Interpret(a *api.Answer, c *api.Call) api.Verdict {
	id := a.Header.Get("X-Message-Id")
	switch page := bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("<")); {
	case a.Status == 202 && (id != "" || !page), a.Status == 200 && s.sandbox && !page:
		return api.Verdict{ID: id}
	case a.Status >= 200 && a.Status < 300 && (a.Status != 200 || len(a.Body) > 0 || a.ReadErr != nil):
		return api.Verdict{Err: api.NotTheirs(a, "SendGrid")}
	case a.Status == 200: // empty: the sandbox of the account
		return api.Verdict{Err: &upstream.Error{Class: upstream.Account, Status: a.Status,
			Err: errors.New("SendGrid answers 202 when it takes a mail; check whether the account is in sandbox mode")}}
	}
	e, rule := api.Classify(a, problemOf(a), rules)
	v := api.Verdict{Err: e, Search: rule.Search}
	if e.Class == upstream.Permanent {
		if faulty, search := faultyRecipients(a, c); search || len(faulty) > 0 {
			v.Faulty, v.Search, e.Code = faulty, search, "5.1.3"
		}
	}
	return v
}

// recipientField is how an error names a recipient, or those among whom one is at fault.
var recipientField = regexp.MustCompile(`^personalizations(?:\.(\d+)(?:\.(to|cc|bcc)(?:\.(\d+)(?:\.email|\.name)?)?)?)?$`)

// faultyRecipients finds the recipients that the errors are about, as indices into c.Keys. search: an error leaves open
// which one it is about. An error about anything else is one of the whole mail.
func faultyRecipients(a *api.Answer, c *api.Call) (faulty []int, search bool) {
	var w errorList
	_ = json.Unmarshal(a.Body, &w) // what it lacks is an error of the whole mail
	for _, e := range w.Errors {
		if e.isUnnamed() {
			search = true
			continue
		}
		m := recipientField.FindStringSubmatch(e.Field)
		if m == nil {
			return nil, false
		}
		if i := namedRecipient(c, m[1], m[2], m[3]); i >= 0 {
			faulty = append(faulty, i)
		} else {
			search = true
		}
	}
	return faulty, search
}

// namedRecipient finds the one recipient at a place of the request: entry of the list of a personalization, "" where
// that is not told; -1 where several can be meant.
func namedRecipient(c *api.Call, personalization, list, entry string) int {
	people := c.To
	switch {
	case list == "" && !c.Batch:
		people = slices.Concat(c.To, c.Cc, c.Bcc)
	case list == "cc":
		people = c.Cc
	case list == "bcc":
		people = c.Bcc
	}
	if c.Batch { // each has a personalization
		entry = personalization
	}
	n, err := strconv.Atoi(entry)
	if len(people) == 1 && entry == "" {
		n, err = 0, nil
	}
	if err != nil || n >= len(people) {
		return -1
	}
	return slices.Index(c.Keys, mime.AddressKey(people[n].Addr))
}

type errorList struct{ Errors []fieldError }

type fieldError struct{ Message, Field string }

// isUnnamed reports an error about some recipient, without a word of where it stands.
func (e fieldError) isUnnamed() bool {
	s := strings.ToLower(e.Message)
	return e.Field == "" && strings.Contains(s, "valid address") && !strings.Contains(s, "from") && !strings.Contains(s, "reply")
}

// problemOf reads {"errors":[{"message":…,"field":…,"help":…}]}.
func problemOf(a *api.Answer) api.Problem {
	var w errorList
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &w) != nil || len(w.Errors) == 0 {
		return api.Problem{}
	}
	var words []string
	for _, e := range w.Errors {
		s := e.Message
		if e.Field != "" && e.Field != "null" {
			s += " (" + e.Field + ")"
		}
		words = append(words, s)
	}
	return api.Problem{Message: strings.Join(words, "; "), Own: true}
}

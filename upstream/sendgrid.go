package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"mailhatch/mime"
)

// Limits of SendGrid, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/limitations
const (
	sendgridRecipients = 1000     // to, cc and bcc of one request together
	sendgridBytes      = 30 << 20 // of a request
)

// sendgridRules: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors and
// https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses
var sendgridRules = []apiRule{
	// Given with a correct key when the plan's mails are used up.
	{status: 401, words: "maximum credits exceeded", class: Throttled, code: "quota_exceeded", wait: 3 * time.Hour},
	{status: 403, words: "verified sender identity", class: Account, sender: true},
	{status: 403, words: "too many bad requests", class: Account, wait: time.Hour}, // a temporary block
	{status: 400, words: "does not contain a valid address", own: true, class: Permanent, code: "5.1.3"},
	{status: 451, class: Account}, // data residency: the other region is the right one
}

// sendgridForm: names that may not be overridden,
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send (headers)
var sendgridForm = apiForm{alternatives: true, reserved: []string{"X-SG-ID", "X-SG-EID"}}

// sendgridHosts: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
var sendgridHosts = map[string]string{"global": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}

type sendgridSettings struct {
	Type               string   `toml:"type"`
	APIKey             Secret   `toml:"api_key"`
	Region             string   `toml:"region"`
	Sandbox            bool     `toml:"sandbox"`
	BaseURL            string   `toml:"base_url"`
	Timeout            Duration `toml:"timeout"`
	CAFile             string   `toml:"ca_file"`
	OnLossy            string   `toml:"on_lossy"`
	PassControlHeaders bool     `toml:"pass_control_headers"`
}

func newSendgridSettings() Settings {
	return &sendgridSettings{Region: "global", Timeout: Duration{30 * time.Second}, OnLossy: "refuse"}
}

// Open makes the upstream.
func (s *sendgridSettings) Open(env Env) (Upstream, error) {
	client, err := openHTTP(env, httpConfig{
		apiKey: s.APIKey, keyHint: "make one at https://app.sendgrid.com/settings/api_keys", baseURL: s.BaseURL,
		defaultURL: sendgridHosts[cmpOr(s.Region, "global", sendgridHosts)], timeout: s.Timeout, caFile: s.CAFile,
	})
	err = errors.Join(err, oneOf("region", s.Region, "global", "eu"), oneOf("on_lossy", s.OnLossy, "refuse", "allow"))
	if err != nil {
		return nil, err
	}
	return &sendgrid{
		client: client, key: s.APIKey, sandbox: s.Sandbox,
		flatten: s.OnLossy == "allow", control: s.PassControlHeaders,
	}, nil
}

// cmpOr gives region where there is a host for it; another one is told as an error of its own.
func cmpOr(region, fallback string, hosts map[string]string) string {
	if _, ok := hosts[region]; ok {
		return region
	}
	return fallback
}

// sendgrid sends by POST /v3/mail/send, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
type sendgrid struct {
	client  *httpClient
	key     Secret
	sandbox bool
	flatten bool // on_lossy = "allow"
	control bool // pass_control_headers
}

// Send offers m; see Upstream.
func (s *sendgrid) Send(ctx context.Context, m *Mail) []Outcome {
	return sendCalls(ctx, s.client, s, m)
}

// Preflight says whether SendGrid can carry m.
func (s *sendgrid) Preflight(m *Mail) error { return preflightCalls(s, m) }

// Render writes the requests.
func (s *sendgrid) Render(m *Mail, w io.Writer) error {
	return renderCalls(s.client, s, "sendgrid", m, w)
}

// Close gives connections up.
func (s *sendgrid) Close() error { return s.client.Close() }

func (s *sendgrid) auth() string { return "Bearer " + s.key.Reveal() }

func (s *sendgrid) limits() (int, int64) { return sendgridRecipients, sendgridBytes }

// apart: each personalization is a mail of its own.
func (s *sendgrid) apart() bool { return true }

// sendgridMailbox is {"email":…,"name":…}.
type sendgridMailbox struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}

// sendgridName takes out what names of recipients must not hold: ";" and ",".
func sendgridName(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ';' || r == ',' || unicode.IsSpace(r) }), " ")
}

func sendgridMailboxes(list []mime.Address) []sendgridMailbox {
	out := make([]sendgridMailbox, len(list))
	for i, a := range list {
		out[i] = sendgridMailbox{a.Addr, sendgridName(apiLine(a.Name))}
	}
	return out
}

type sendgridPersonalization struct {
	To         []sendgridMailbox `json:"to"`
	Cc         []sendgridMailbox `json:"cc,omitempty"`
	Bcc        []sendgridMailbox `json:"bcc,omitempty"`
	CustomArgs jsonHeaders       `json:"custom_args"` // at the top level it is overridden by these
	SendAt     int64             `json:"send_at,omitempty"`
}

// refuses: X-SMTPAPI and content ids are judged with the rest of the mail.
func (s *sendgrid) refuses(m *Mail) (*Error, bool) {
	if s.control && m.Message.Header.Has("X-SMTPAPI") {
		return nil, false
	}
	for _, p := range m.Message.Root.Leaves() {
		if strings.Contains(p.ContentID, ";") {
			return nil, false
		}
	}
	return new(apiMessage).begin(m, s.flatten), true
}

// compose writes the fields that are the same for all calls.
func (s *sendgrid) compose(m *Mail) (apiLetter, *Error) {
	msg, e := readForAPI(m, sendgridForm, s.flatten)
	if e != nil {
		return nil, e
	}
	if e := sendgridContentIDs(msg); e != nil {
		return nil, e
	}
	var control sendgridControl
	if s.control {
		if control, e = readSMTPAPI(m.Message.Header.Values("X-SMTPAPI")); e != nil {
			return nil, e
		}
	}
	shared, err := s.shared(msg, control)
	if err != nil {
		return nil, &Error{Class: Temporary, Err: err}
	}
	args := append(jsonHeaders{{"mailhatch_id", m.ID}}, control.args...)
	return func(c *apiCall) (*httpRequest, *Error) {
		var j jsonBody
		to := [][]mime.Address{c.to}
		if c.apart {
			to = slices.Collect(slices.Chunk(c.to, 1))
		}
		people := make([]sendgridPersonalization, len(to))
		for i := range to {
			people[i] = sendgridPersonalization{sendgridMailboxes(to[i]), sendgridMailboxes(c.cc), sendgridMailboxes(c.bcc), args, control.sendAt}
		}
		j.field("personalizations", people)
		j.splice(shared)
		return &httpRequest{method: "POST", path: "/v3/mail/send", auth: s.auth(), body: j.end(),
			header: []string{"Content-Type", "application/json", "Accept", "application/json"}}, nil
	}, nil
}

// shared writes all that is not about recipients.
func (s *sendgrid) shared(msg *apiMessage, control sendgridControl) (payload, error) {
	j := jsonBody{inner: true}
	j.room(len(msg.text) + len(msg.html))
	j.field("from", sendgridMailbox{msg.from.Addr, msg.from.Name})
	if len(msg.replyTo) == 1 {
		j.field("reply_to", sendgridMailboxes(msg.replyTo)[0])
	} else if len(msg.replyTo) > 1 {
		j.field("reply_to_list", sendgridMailboxes(msg.replyTo))
	}
	j.field("subject", orSpace(msg.subject))
	j.field("content", sendgridContents(msg))
	if len(msg.headers) > 0 {
		j.headers("headers", msg.headers)
	}
	if len(control.categories) > 0 {
		j.field("categories", control.categories)
	}
	if s.sandbox {
		j.name("mail_settings")
		j.raw(`{"sandbox_mode":{"enable":true}}`)
	}
	// Off, or SendGrid changes links and adds to the bodies.
	j.name("tracking_settings")
	j.raw(`{"click_tracking":{"enable":false,"enable_text":false},"open_tracking":{"enable":false},` +
		`"subscription_tracking":{"enable":false},"ganalytics":{"enable":false}}`)
	for i, f := range msg.files {
		if i == 0 {
			j.name("attachments")
			j.raw("[\n")
		} else {
			j.raw(",\n")
		}
		if err := sendgridFile(&j, f); err != nil {
			return nil, err
		}
	}
	if len(msg.files) > 0 {
		j.raw("\n]")
	}
	j.flush()
	return j.done, nil
}

func (s *sendgrid) judge(a *httpAnswer, c *apiCall) apiVerdict {
	switch {
	case a.status == 202, a.status == 200 && s.sandbox:
		return apiVerdict{id: a.header.Get("X-Message-Id")}
	case a.status >= 200 && a.status < 300:
		return apiVerdict{err: &Error{Class: Account, Status: a.status,
			Err: errors.New("SendGrid answers 202 when it takes a mail; check base_url, and whether the account is in sandbox mode")}}
	}
	w := sendgridWords(a)
	e, _ := classify(a, w, sendgridRules)
	v := apiVerdict{err: e}
	if e.Class == Permanent {
		if i, ok := sendgridGuilty(a, c); ok {
			v.guilty = []int{i}
		}
	}
	return v
}

// sendgridField is how an error names a recipient.
var sendgridField = regexp.MustCompile(`^personalizations\.(\d+)\.(to|cc|bcc)\.(\d+)(?:\.email)?$`)

// sendgridGuilty finds the recipient that the first error is about.
func sendgridGuilty(a *httpAnswer, c *apiCall) (int, bool) {
	var w sendgridErrors
	if json.Unmarshal(a.body, &w) != nil || len(w.Errors) == 0 {
		return 0, false
	}
	m := sendgridField.FindStringSubmatch(w.Errors[0].Field)
	if m == nil {
		return 0, false
	}
	list := map[string][]mime.Address{"to": c.to, "cc": c.cc, "bcc": c.bcc}[m[2]]
	place := m[3]
	if c.apart {
		place = m[1]
	}
	n, err := strconv.Atoi(place)
	if err != nil || n >= len(list) {
		return 0, false
	}
	i := slices.Index(c.keys, strings.ToLower(list[n].Addr))
	return i, i >= 0
}

type sendgridErrors struct {
	Errors []struct{ Message, Field string }
}

// sendgridWords reads {"errors":[{"message":…,"field":…,"help":…}]}.
func sendgridWords(a *httpAnswer) apiWords {
	var w sendgridErrors
	if !bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("{")) || json.Unmarshal(a.body, &w) != nil || len(w.Errors) == 0 {
		return apiWords{}
	}
	var words []string
	for _, e := range w.Errors {
		s := e.Message
		if e.Field != "" && e.Field != "null" {
			s += " (" + e.Field + ")"
		}
		words = append(words, s)
	}
	return apiWords{message: strings.Join(words, "; "), own: true}
}

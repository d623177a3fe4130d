package upstream

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailhatch/mime"
)

// Limits of Mailgun, https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages
const (
	mailgunRecipients   = 1000
	mailgunBytes        = 25 << 20 // of the message; the form around it gets mailgunForm more
	mailgunForm         = 256 << 10
	mailgunOptionsBytes = 16 << 10 // of all o:, h:, v: and t: fields
)

// mailgunRules: https://documentation.mailgun.com/docs/mailgun/api-reference/api-overview (errors)
var mailgunRules = []apiRule{
	{status: 400, words: "'to' parameter is not a valid", own: true, class: Permanent, code: "5.1.3", search: true},
	{status: 400, words: "to parameter is not a valid", own: true, class: Permanent, code: "5.1.3", search: true},
	{status: 400, words: "not allowed to send", class: Account},
	{status: 400, words: "sandbox", class: Account},
	{status: 403, words: "try again", class: Throttled, wait: time.Minute},
}

// mailgunHosts: https://documentation.mailgun.com/docs/mailgun/api-reference/api-overview (base URL)
var mailgunHosts = map[string]string{"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}

type mailgunSettings struct {
	Type               string   `toml:"type"`
	APIKey             Secret   `toml:"api_key"`
	Domain             string   `toml:"domain"`
	Region             string   `toml:"region"`
	TestMode           bool     `toml:"test_mode"`
	BaseURL            string   `toml:"base_url"`
	Timeout            Duration `toml:"timeout"`
	CAFile             string   `toml:"ca_file"`
	PassControlHeaders bool     `toml:"pass_control_headers"`
}

func newMailgunSettings() Settings {
	return &mailgunSettings{Region: "us", Timeout: Duration{30 * time.Second}}
}

// Open makes the upstream.
func (s *mailgunSettings) Open(env Env) (Upstream, error) {
	client, err := openHTTP(env, httpConfig{
		apiKey: s.APIKey, keyHint: "take a sending key of the domain, or make one at https://app.mailgun.com/settings/api_security",
		baseURL: s.BaseURL, defaultURL: mailgunHosts[cmpOr(s.Region, "us", mailgunHosts)], timeout: s.Timeout, caFile: s.CAFile,
	})
	errs := []error{err, oneOf("region", s.Region, "us", "eu")}
	switch {
	case s.Domain == "":
		errs = append(errs, &KeyError{Key: "domain", Problem: "is missing", Hint: `the sending domain as Mailgun shows it: "mg.example.com"`})
	case strings.ContainsAny(s.Domain, "/\\@ ?#") || !apiIsASCII(s.Domain):
		errs = append(errs, &KeyError{Key: "domain", Problem: "must be a domain name alone", Hint: `such as "mg.example.com"`})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &mailgun{client: client, key: s.APIKey, domain: s.Domain, test: s.TestMode, control: s.PassControlHeaders}, nil
}

// mailgun sends by POST /v3/{domain}/messages.mime, which takes the message as it is,
// https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages
type mailgun struct {
	client  *httpClient
	key     Secret
	domain  string
	test    bool
	control bool // pass_control_headers
}

// Send offers m; see Upstream.
func (g *mailgun) Send(ctx context.Context, m *Mail) []Outcome { return sendCalls(ctx, g.client, g, m) }

// Preflight says whether Mailgun can carry m.
func (g *mailgun) Preflight(m *Mail) error { return preflightCalls(g, m) }

// Render writes the requests.
func (g *mailgun) Render(m *Mail, w io.Writer) error {
	return renderCalls(g.client, g, "mailgun", m, w)
}

// Close gives connections up.
func (g *mailgun) Close() error { return g.client.Close() }

func (g *mailgun) auth() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("api:"+g.key.Reveal()))
}

func (g *mailgun) path() string { return "/v3/" + url.PathEscape(g.domain) + "/messages.mime" }

func (g *mailgun) limits() (int, int64) { return mailgunRecipients, mailgunBytes + mailgunForm }

// apart: the message shows its own To, whoever gets it.
func (g *mailgun) apart() bool { return true }

// refuses: options are judged in full.
func (g *mailgun) refuses(m *Mail) (*Error, bool) {
	if _, e := g.options(m); e != nil || g.control {
		return e, e != nil
	}
	_, e := mailgunMissing(m, g.domain)
	return e, true
}

// compose edits the header: out goes what must not be seen or would steer Mailgun, in comes what
// Mailgun needs. Every other byte stays.
func (g *mailgun) compose(m *Mail) (apiLetter, *Error) {
	options, e := g.options(m)
	if e != nil {
		return nil, e
	}
	edits := []mime.Edit{{Op: mime.Remove, Name: "Bcc"}, {Op: mime.Remove, Name: "Resent-Bcc"}, {Op: mime.Remove, Name: "Return-Path"}}
	for _, name := range apiControl {
		edits = append(edits, mime.Edit{Op: mime.Remove, Name: name})
	}
	edits = append(edits, mime.Edit{Op: mime.Mend}) // Mailgun refuses headers with lines that are no fields
	more, e := mailgunMissing(m, g.domain)
	if e != nil {
		return nil, e
	}
	msg, err := m.Message.With(append(edits, more...)...)
	if err != nil {
		return nil, &Error{Class: Temporary, Err: err}
	}
	src := msg.Source
	if src.Size() > mailgunBytes {
		return nil, apiError(Unrepresentable, "5.3.4", "the message has %d bytes; Mailgun takes %d", src.Size(), mailgunBytes)
	}
	file := segment{length: src.Size(), open: func() io.Reader { return io.NewSectionReader(src, 0, src.Size()) }}
	return func(c *apiCall) (*httpRequest, *Error) {
		boundary := g.boundary(m, c)
		var b bytes.Buffer
		b.Grow((len(c.keys) + len(options) + 1) * mailgunFieldBytes)
		for _, key := range [][]mime.Address{c.to, c.cc, c.bcc} {
			for _, a := range key {
				mailgunField(&b, boundary, "to", a.Addr)
			}
		}
		for _, o := range options {
			mailgunField(&b, boundary, o.name, o.value)
		}
		b.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"message\"; filename=\"message.mime\"\r\n" +
			"Content-Type: message/rfc822\r\n\r\n")
		return &httpRequest{
			method: "POST", path: g.path(), auth: g.auth(),
			header: []string{"Content-Type", "multipart/form-data; boundary=" + boundary, "Accept", "application/json"},
			body:   payload{{literal: b.Bytes()}, file, {literal: []byte("\r\n--" + boundary + "--\r\n")}},
		}, nil
	}, nil
}

// boundary is the same for each attempt and, made with the key, foreseen by no one who writes messages.
func (g *mailgun) boundary(m *Mail, c *apiCall) string {
	mac := hmac.New(sha256.New, []byte(g.key.Reveal()))
	mac.Write([]byte(callKey(m, c)))
	return "mailhatch-" + hex.EncodeToString(mac.Sum(nil)[:16])
}

const mailgunFieldBytes = 160 // of a usual field of the form

var formNames = strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A")

func mailgunField(b *bytes.Buffer, boundary, name, value string) {
	// RFC 7578 4.2; names come from headers in part.
	for _, s := range [...]string{"--", boundary, "\r\nContent-Disposition: form-data; name=\"", formNames.Replace(name), "\"\r\n\r\n", value, "\r\n"} {
		b.WriteString(s)
	}
}

// mailgunMissing adds the fields without which Mailgun refuses a message or makes up its own.
func mailgunMissing(m *Mail, domain string) ([]mime.Edit, *Error) {
	var edits []mime.Edit
	from, e := apiFrom(m)
	if e != nil {
		return nil, e
	}
	for i := range from {
		// An address beyond ASCII in From makes mail that no one delivers.
		if from[i].Addr, e = apiSenderForm(from[i].Addr); e != nil {
			return nil, e
		}
	}
	if !slices.ContainsFunc(m.Message.From, func(a mime.Address) bool { return strings.Contains(a.Addr, "@") }) {
		edits = append(edits, mime.Edit{Op: mime.Replace, Name: "From", Value: from[0].String()})
	}
	if m.Message.MessageID == "" {
		edits = append(edits, mime.Edit{Op: mime.Replace, Name: "Message-ID", Value: "<" + m.ID + "@" + domain + ">"})
	}
	return edits, nil
}

func (g *mailgun) judge(a *httpAnswer, _ *apiCall) apiVerdict {
	if a.status >= 200 && a.status < 300 {
		var ok struct{ ID, Message string }
		err := json.Unmarshal(a.body, &ok)
		switch {
		case err == nil && strings.HasPrefix(ok.Message, "Queued"):
			return apiVerdict{id: ok.ID}
		case a.readErr != nil:
			return apiVerdict{err: &Error{Class: Uncertain, Status: a.status, Err: errors.New("Mailgun's answer ended early")}}
		}
		// "Mailgun Magnificent API" greets those who come to a wrong path.
		return apiVerdict{err: &Error{Class: Account, Status: a.status,
			Err: errors.New("the answer is not that of a mail taken; check domain, region and base_url: " + answerWords(a, apiWords{}))}}
	}
	e, rule := classify(a, mailgunWords(a), mailgunRules)
	return apiVerdict{err: e, search: rule.search}
}

// mailgunWords reads {"message":…}, or the one word Forbidden.
func mailgunWords(a *httpAnswer) apiWords {
	var w struct{ Message string }
	body := bytes.TrimSpace(a.body)
	if bytes.HasPrefix(body, []byte("{")) && json.Unmarshal(body, &w) == nil && w.Message != "" {
		return apiWords{message: w.Message, own: true}
	}
	return apiWords{message: strings.Trim(string(body[:min(len(body), 100)]), `"`)}
}

package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mailhatch/mime"
)

// Limits of Resend, https://resend.com/docs/api-reference/emails/send-email
const (
	resendRecipients = 50       // documented for `to`; kept for to, cc and bcc together
	resendBytes      = 40 << 20 // of a request, after base64
	resendKeyLength  = 256      // of an Idempotency-Key
)

// resendRules: https://resend.com/docs/api-reference/errors
var resendRules = []apiRule{
	{status: 403, name: "validation_error", class: Account, sender: true}, // the domain of From is not verified
	{status: 409, name: "concurrent_idempotent_requests", class: Uncertain, wait: 5 * time.Second},
	{status: 409, name: "invalid_idempotent_request", class: Uncertain}, // taken before with another body
	{status: 409, class: Temporary},                                     // resource_locked
	{status: 422, name: "invalid_access", class: Account},
	{status: 422, name: "invalid_region", class: Account},
	{status: 422, words: "`to` field", own: true, class: Permanent, code: "5.1.3", search: true},
	{status: 422, words: "`cc` field", own: true, class: Permanent, code: "5.1.3", search: true},
	{status: 422, words: "`bcc` field", own: true, class: Permanent, code: "5.1.3", search: true},
	{status: 429, name: "daily_quota_exceeded", class: Throttled, wait: 2 * time.Hour},
	{status: 429, name: "monthly_quota_exceeded", class: Throttled, wait: 12 * time.Hour},
	{status: 451, name: "security_error", class: Permanent, code: "5.7.1"},
}

// resendForm: Resend documents no reserved names; those of its own service are kept out.
var resendForm = apiForm{reserved: []string{"X-Resend-*"}}

type resendSettings struct {
	Type               string   `toml:"type"`
	APIKey             Secret   `toml:"api_key"`
	BaseURL            string   `toml:"base_url"`
	Timeout            Duration `toml:"timeout"`
	CAFile             string   `toml:"ca_file"`
	OnLossy            string   `toml:"on_lossy"`
	PassControlHeaders bool     `toml:"pass_control_headers"`
}

func newResendSettings() Settings {
	return &resendSettings{Timeout: Duration{30 * time.Second}, OnLossy: "refuse"}
}

// Open makes the upstream.
func (s *resendSettings) Open(env Env) (Upstream, error) {
	client, err := openHTTP(env, httpConfig{
		apiKey: s.APIKey, keyHint: "make one at https://resend.com/api-keys", baseURL: s.BaseURL,
		defaultURL: "https://api.resend.com", timeout: s.Timeout, caFile: s.CAFile,
	})
	if err = errors.Join(err, oneOf("on_lossy", s.OnLossy, "refuse", "allow")); err != nil {
		return nil, err
	}
	return &resend{client: client, key: s.APIKey, flatten: s.OnLossy == "allow", control: s.PassControlHeaders}, nil
}

// oneOf says that a key has another value than those allowed.
func oneOf(key, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	quoted := make([]string, len(allowed))
	for i, a := range allowed {
		quoted[i] = fmt.Sprintf("%q", a)
	}
	return &KeyError{Key: key, Problem: fmt.Sprintf("must be %s, not %q", strings.Join(quoted, " or "), value)}
}

// resend sends by POST /emails, https://resend.com/docs/api-reference/emails/send-email
type resend struct {
	client  *httpClient
	key     Secret
	flatten bool // on_lossy = "allow"
	control bool // pass_control_headers
}

// Send offers m; see Upstream.
func (r *resend) Send(ctx context.Context, m *Mail) []Outcome { return sendCalls(ctx, r.client, r, m) }

// Preflight says whether Resend can carry m.
func (r *resend) Preflight(m *Mail) error { return preflightCalls(r, m) }

// Render writes the requests.
func (r *resend) Render(m *Mail, w io.Writer) error { return renderCalls(r.client, r, "resend", m, w) }

// resendKeyValidity: https://resend.com/docs/dashboard/emails/idempotency-keys
const resendKeyValidity = 24 * time.Hour

// KeyValidity is how long Resend knows a repeated request by its Idempotency-Key.
func (r *resend) KeyValidity() time.Duration { return resendKeyValidity }

// Close gives connections up.
func (r *resend) Close() error { return r.client.Close() }

func (r *resend) auth() string { return "Bearer " + r.key.Reveal() }

func (r *resend) limits() (int, int64) { return resendRecipients, resendBytes }

// apart: one text of To for all who are in a call.
func (r *resend) apart() bool { return false }

// refuses: keys given by the program can be too long.
func (r *resend) refuses(m *Mail) (*Error, bool) {
	if given, e := r.givenKey(m); given != "" || e != nil {
		return nil, false
	}
	return new(apiMessage).begin(m, r.flatten), true
}

// compose writes the fields that are the same for all calls.
func (r *resend) compose(m *Mail) (apiLetter, *Error) {
	msg, e := readForAPI(m, resendForm, r.flatten)
	if e != nil {
		return nil, e
	}
	shared, err := resendShared(msg)
	if err != nil {
		return nil, &Error{Class: Temporary, Err: err}
	}
	given, e := r.givenKey(m)
	if e != nil {
		return nil, e
	}
	return func(c *apiCall) (*httpRequest, *Error) {
		var j jsonBody
		j.field("from", formatMailbox(msg.from))
		for _, list := range []struct {
			name  string
			addrs []mime.Address
		}{{"to", c.to}, {"cc", c.cc}, {"bcc", c.bcc}, {"reply_to", msg.replyTo}} {
			if len(list.addrs) > 0 {
				j.field(list.name, formatMailboxes(list.addrs))
			}
		}
		j.splice(shared)
		key := callKey(m, c)
		if given != "" {
			if key = given; len(c.positions()) != len(m.To) {
				// Several calls cannot share the program's key.
				key += "-" + callKey(&Mail{}, c)[1:]
			}
		}
		if len(key) > resendKeyLength {
			return nil, apiError(Unrepresentable, "5.6.0", "the idempotency key has %d characters; Resend takes %d", len(key), resendKeyLength)
		}
		return &httpRequest{method: "POST", path: "/emails", auth: r.auth(), body: j.end(), header: []string{
			"Content-Type", "application/json", "Accept", "application/json", "idempotency-key", key}}, nil
	}, nil
}

// givenKey is the key that the program set, where that is allowed; https://resend.com/docs/send-with-smtp
func (r *resend) givenKey(m *Mail) (string, *Error) {
	if !r.control {
		return "", nil
	}
	key := apiLine(m.Message.Header.Get("Resend-Idempotency-Key"))
	if !apiIsASCII(key) {
		return "", apiError(Unrepresentable, "5.6.0", "Resend-Idempotency-Key holds characters beyond ASCII")
	}
	return key, nil
}

// resendShared writes subject, bodies, headers and files.
func resendShared(msg *apiMessage) (payload, error) {
	j := jsonBody{inner: true}
	j.room(len(msg.text) + len(msg.html))
	j.field("subject", orSpace(msg.subject))
	text := msg.text
	if msg.html != "" {
		j.field("html", msg.html)
	} else {
		text = orSpace(text) // one of the two must be there
	}
	j.field("text", text) // "" keeps Resend from making one up
	if len(msg.headers) > 0 {
		j.headers("headers", msg.headers)
	}
	for i, f := range msg.files {
		if i == 0 {
			j.name("attachments")
			j.raw("[\n")
		} else {
			j.raw(",\n")
		}
		name, mediaType := agreeingName(f)
		seg, _, err := base64Segment(f.part)
		if err != nil {
			return nil, err
		}
		j.raw(`{"filename":`)
		j.value(name)
		j.raw(`,"content_type":`)
		j.value(mediaType)
		if f.inline {
			j.raw(`,"content_id":`)
			j.value(f.contentID)
		}
		j.raw(`,"content":"`)
		j.stream(seg)
		j.raw(`"}`)
	}
	if len(msg.files) > 0 {
		j.raw("\n]")
	}
	j.flush()
	return j.done, nil
}

// orSpace stands in where an API refuses an empty string.
func orSpace(s string) string {
	if strings.TrimSpace(s) == "" {
		return " "
	}
	return s
}

var quotedPairs = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// formatMailbox writes `Name <local@domain>`, the name as it is or quoted (RFC 5322 3.4), never encoded.
func formatMailbox(a mime.Address) string {
	if a.Name == "" {
		return a.Addr
	}
	name := a.Name
	if strings.ContainsAny(name, `()<>[]:;@\,."`) {
		name = `"` + quotedPairs.Replace(name) + `"`
	}
	return apiLine(name) + " <" + a.Addr + ">"
}

func formatMailboxes(list []mime.Address) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = formatMailbox(a)
	}
	return out
}

func (r *resend) judge(a *httpAnswer, _ *apiCall) apiVerdict {
	if a.status >= 200 && a.status < 300 {
		var ok struct{ ID string }
		if err := json.Unmarshal(a.body, &ok); err == nil && ok.ID != "" {
			return apiVerdict{id: ok.ID}
		}
		return apiVerdict{err: &Error{Class: Uncertain, Status: a.status, Err: errors.New("Resend's answer cannot be read; asked again with the same key it will say")}}
	}
	e, rule := classify(a, resendWords(a), resendRules)
	return apiVerdict{err: e, search: rule.search}
}

// resendWords reads {"statusCode":…,"name":…,"message":…}.
func resendWords(a *httpAnswer) apiWords {
	var w struct{ Name, Message string }
	if !bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("{")) || json.Unmarshal(a.body, &w) != nil || w.Name == "" && w.Message == "" {
		return apiWords{}
	}
	return apiWords{name: apiLine(w.Name), message: w.Message, own: true}
}

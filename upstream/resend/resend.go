// Package resend sends by Resend's API, https://resend.com/docs/api-reference/introduction
package resend

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// Limits of Resend, https://resend.com/docs/api-reference/emails/send-email
const (
	maxRecipients = 50       // documented for `to`; kept for to, cc and bcc together
	maxBytes      = 40 << 20 // of a request, after base64
	maxKey        = 256      // of an Idempotency-Key
)

// rules: https://resend.com/docs/api-reference/errors
var rules = []api.Rule{
	{Status: 403, Name: "validation_error", Class: upstream.Account, Sender: true}, // the domain of From is not verified
	{Status: 409, Name: "concurrent_idempotent_requests", Class: upstream.Uncertain, Wait: 5 * time.Second},
	{Status: 409, Name: "invalid_idempotent_request", Class: upstream.Uncertain, Changed: true},
	{Status: 409, Class: upstream.Temporary}, // resource_locked
	{Status: 422, Name: "invalid_access", Class: upstream.Account},
	{Status: 422, Name: "invalid_region", Class: upstream.Account},
	{Words: "`to` field", Own: true, Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Words: "`cc` field", Own: true, Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Words: "`bcc` field", Own: true, Class: upstream.Permanent, Code: "5.1.3", Search: true},
	{Status: 429, Name: "daily_quota_exceeded", Class: upstream.Throttled, Wait: 2 * time.Hour},
	{Status: 429, Name: "monthly_quota_exceeded", Class: upstream.Throttled, Wait: 12 * time.Hour},
	{Status: 451, Name: "security_error", Class: upstream.Permanent, Code: "5.7.1"},
}

// form: Resend documents no reserved names; those of its own service are kept out.
var form = api.Form{Reserved: []string{"X-Resend-*", "Resend-*"}}

// Kind is Resend.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "resend", Doc: "Resend's API (JSON)", Changes: changes(),
		Traits: upstream.Traits{Apart: true, NewID: true, Bcc: upstream.BccRequest, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New: func() upstream.Settings {
			return &settings{Settings: api.Defaults(), OnLossy: "refuse", Events: events.Defaults()}
		},
		Setup: []upstream.Question{api.KeyQuestion("RESEND_API_KEY")},
	}
}

// changes lists what Resend changes in every mail.
func changes() []string {
	return append(api.JSONChanges(),
		"the original Message-ID is also added to the end of References, so that replies and follow-ups stay in one thread",
		"a calendar alternative becomes an .ics file; an AMP alternative becomes a file",
		"if a file's name and type disagree, it is sent as application/octet-stream, or gets an extension if it has none; an empty file gets one line end",
		"link and open tracking are settings of the Resend domain and cannot be switched off here")
}

type settings struct {
	api.Settings
	APIKey  upstream.Secret `toml:"api_key"`
	OnLossy string          `toml:"on_lossy"`
	Events  events.Settings `toml:"events"`
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	client, err := api.Open(env, s.Settings, api.Service{
		URL: "https://api.resend.com", KeyHint: "make one at https://resend.com/api-keys",
		Recipients: maxRecipients, Bytes: maxBytes, Keyed: true, Changes: changes(),
	}, api.Bearer(s.APIKey))
	listener, listenErr := s.Events.Open(env, ways)
	if err = errors.Join(err, listenErr, upstream.OneOf("on_lossy", s.OnLossy, "refuse", "allow")); err != nil {
		return nil, err
	}
	r := &provider{client: client, flatten: s.OnLossy == "allow", control: s.PassControlHeaders}
	return &keyed{api.New(client, r), newFeedback(r, listener)}, nil
}

// keyed is the upstream of kind resend.
type keyed struct {
	*api.Upstream
	*feedback
}

// keyValidity: https://resend.com/docs/dashboard/emails/idempotency-keys
const keyValidity = 24 * time.Hour

// KeyValidity returns how long Resend recognises a repeated request by its Idempotency-Key.
func (u *keyed) KeyValidity() time.Duration { return keyValidity }

// provider sends by POST /emails, https://resend.com/docs/api-reference/emails/send-email
type provider struct {
	client  *api.Client
	flatten bool // on_lossy = "allow"
	control bool // pass_control_headers
}

// Refuses leaves keys given by the program, which can be too long, to Compose.
func (r *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) {
	if given, e := r.givenKey(m); given != "" || e != nil {
		return nil, false
	}
	return api.Refuses(m, r.flatten), true
}

// Compose writes the fields that are the same for all calls.
func (r *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	msg, e := api.ReadMessage(m, form, r.flatten)
	if e != nil {
		return nil, e
	}
	shared, err := shared(msg)
	if err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	given, e := r.givenKey(m)
	if e != nil {
		return nil, e
	}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		j.Field("from", api.FormatMailbox(msg.From))
		for _, list := range []struct {
			name  string
			addrs []mime.Address
		}{{"to", c.To}, {"cc", c.Cc}, {"bcc", c.Bcc}, {"reply_to", msg.ReplyTo}} {
			if len(list.addrs) > 0 {
				j.Field(list.name, api.FormatMailboxes(list.addrs))
			}
		}
		j.Splice(shared)
		key := c.Key(m)
		if given != "" {
			if key = given; len(c.Positions()) != len(m.To) {
				// Several calls cannot share the program's key.
				key += "-" + c.Digest()
			}
			key += strings.TrimPrefix(m.Key, m.ID) // it is to be another one
		}
		if len(key) > maxKey {
			return nil, api.Errorf(upstream.Unrepresentable, "5.6.0", "the idempotency key has %d characters; Resend takes %d", len(key), maxKey)
		}
		return api.PostJSON("/emails", j.End(), "idempotency-key", key), nil
	}, nil
}

const keyField = "Resend-Idempotency-Key"

// givenKey is the key that the program set, where that is allowed; https://resend.com/docs/send-with-smtp
func (r *provider) givenKey(m *upstream.Mail) (string, *upstream.Error) {
	if !r.control && !m.IsOwn(keyField) {
		return "", nil
	}
	key := api.Line(m.Message.Header.Get(keyField))
	if !api.IsASCII(key) {
		return "", api.Errorf(upstream.Unrepresentable, "5.6.0", "Resend-Idempotency-Key contains characters outside ASCII")
	}
	return key, nil
}

// shared writes subject, bodies, headers and files.
func shared(msg *api.Message) (api.Payload, error) {
	j := api.Rest(msg.Text, msg.HTML)
	j.Field("subject", api.OrSpace(msg.Subject))
	text := msg.Text
	if !msg.HTML.IsEmpty() {
		j.Name("html")
		j.Text(msg.HTML)
	} else {
		text = text.OrSpace() // one of the two must be there
	}
	j.Name("text")
	j.Text(text) // "" keeps Resend from making one up
	if len(msg.Headers) > 0 {
		j.Fields("headers", msg.Headers)
	}
	err := j.Files("attachments", "content", msg.Files, func(f api.File) ([]api.Field, api.Segment, error) {
		name, mediaType := agreeingName(f)
		fields := []api.Field{{Name: "filename", Value: name}, {Name: "content_type", Value: mediaType}}
		if f.Inline {
			fields = append(fields, api.Field{Name: "content_id", Value: f.ContentID})
		}
		content, _, err := api.Base64(f.Part)
		return fields, content, err
	})
	return j.Part(), err
}

// Interpret reads {"id":…} or an error.
func (r *provider) Interpret(a *api.Answer, _ *api.Call) api.Verdict {
	if a.Status >= 200 && a.Status < 300 {
		var ok struct{ ID string }
		if err := json.Unmarshal(a.Body, &ok); err == nil && ok.ID != "" {
			return api.Verdict{ID: ok.ID}
		}
		return api.Verdict{Err: api.NotTheirs(a, "Resend")}
	}
	e, rule := api.Classify(a, problemOf(a), rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// problemOf reads {"statusCode":…,"name":…,"message":…}.
func problemOf(a *api.Answer) api.Problem {
	var w struct{ Name, Message string }
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &w) != nil || w.Name == "" && w.Message == "" {
		return api.Problem{}
	}
	return api.Problem{Name: api.Line(w.Name), Message: w.Message, Own: true}
}

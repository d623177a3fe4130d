// Package brevo sends by Brevo's API v3, https://developers.brevo.com/reference/send-transac-email
package brevo

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// Limits of Brevo, https://developers.brevo.com/reference/send-transac-email and
// https://help.brevo.com/hc/en-us/articles/4402811730962
const (
	maxRecipients = 99       // of one mail
	maxBytes      = 20 << 20 // of a mail, files included
	maxName       = 70       // characters of a recipient's name
)

// form: headers that are instructions to Brevo, where no rule of the operator wrote them.
var form = api.Form{Reserved: []string{idempotencyKey, "sender.ip"}}

const idempotencyKey = "idempotencyKey"

// Kind is Brevo.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "brevo", Doc: "Brevo's API v3 smtp/email (JSON)", Changes: changes(),
		Traits: upstream.Traits{Apart: true, NewID: true, Bcc: upstream.BccRequest, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New: func() upstream.Settings {
			return &settings{Settings: api.Defaults(), OnLossy: "refuse", Events: events.Defaults(), LogDelay: upstream.Duration{Duration: traceDelay}}
		},
		Setup: []upstream.Question{api.KeyQuestion("BREVO_API_KEY")},
	}
}

// changes lists what Brevo changes in every mail.
func changes() []string {
	return append(api.JSONChanges(),
		"the original Message-ID is also added to the end of References, so that replies and follow-ups stay in one thread",
		"mail with only text gets an HTML part with the same text, because Brevo would make its own",
		"images that the HTML shows by cid are not supported: such mail is not carried; with on_lossy = \"allow\" they are sent as files and not shown",
		"Brevo accepts one Reply-To address: mail with several is not carried; with on_lossy = \"allow\" the first one gets the replies",
		"only files with an extension on Brevo's list are carried; with on_lossy = \"allow\", .txt is appended to the names of texts and messages (.log, .eml). Parts without a name get one that Brevo accepts",
		"the type of a file follows from its extension; a non-ASCII name can arrive garbled; an empty file gets one line end",
		"header fields with non-ASCII characters are removed, because Brevo would send them as raw bytes",
		"non-ASCII names lose their punctuation; recipients' names are cut to 70 characters",
		"{{ }} and {% %} may be read as Brevo's template language",
		"a calendar alternative becomes an .ics file; an AMP alternative becomes a file",
		"link and open tracking are settings of the Brevo account and cannot be switched off here",
		"Brevo accepts mail from senders that it does not know and mail to recipients that it blocks, and drops it later")
}

type settings struct {
	api.Settings
	APIKey   upstream.Secret   `toml:"api_key"`
	OnLossy  string            `toml:"on_lossy"`
	Events   events.Settings   `toml:"events"`
	LogDelay upstream.Duration `toml:"log_delay"` // how late the log may be
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	key := api.Key{Setting: "api_key", Field: "api-key", Secret: s.APIKey}
	client, err := api.Open(env, s.Settings, api.Service{
		URL: "https://api.brevo.com", KeyHint: "make one at https://app.brevo.com/settings/keys/api, and permit this machine's address under Authorised IPs",
		Recipients: maxRecipients, Bytes: maxBytes, Keyed: true, Changes: changes(),
	}, key)
	listener, listenErr := s.Events.Open(env, ways)
	if err = errors.Join(err, listenErr, events.CheckLogDelay(s.LogDelay), upstream.OneOf("on_lossy", s.OnLossy, "refuse", "allow")); err != nil {
		return nil, err
	}
	p := &provider{client: client, lossy: s.OnLossy == "allow", control: s.PassControlHeaders}
	return &keyed{api.New(client, p), newFeedback(p, listener, s.LogDelay.Duration)}, nil
}

// keyed is the upstream of kind brevo.
type keyed struct {
	*api.Upstream
	*feedback
}

// keyValidity: 30 minutes by https://developers.brevo.com/docs/heterogenous-versions-batch-emails, 15 by
// https://developers.brevo.com/changelog/email-api-now-supports-idempotency
const keyValidity = 15 * time.Minute

// KeyValidity returns how long Brevo recognises a repeated request by its idempotencyKey.
func (u *keyed) KeyValidity() time.Duration { return keyValidity }

// provider sends by POST /v3/smtp/email, https://developers.brevo.com/reference/send-transac-email
type provider struct {
	client  *api.Client
	lossy   bool // on_lossy = "allow"
	control bool // pass_control_headers
}

// Refuses leaves to Compose what may have no place at Brevo.
func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) {
	for _, part := range m.Message.Root.Leaves() {
		text := strings.HasPrefix(part.Type, "text/") || strings.HasPrefix(part.Type, "message/")
		if !text || part.Name != "" || part.ContentID != "" {
			return nil, false
		}
	}
	if len(m.Message.From) > 1 || len(m.Message.ReplyTo) > 1 {
		return nil, false
	}
	return api.Refuses(m, p.lossy), true
}

// Compose writes the fields that are the same for all calls.
func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	msg, e := api.ReadMessage(m, form, p.lossy)
	if e != nil {
		return nil, e
	}
	if e := p.check(msg); e != nil {
		return nil, e
	}
	shared, err := p.shared(m, msg)
	if err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	headers := p.headers(m, msg)
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		j.Field("sender", mailboxOf(msg.From, len(msg.From.Name)))
		for _, list := range []struct {
			name  string
			addrs []mime.Address
		}{{"to", c.To}, {"cc", c.Cc}, {"bcc", c.Bcc}} {
			if len(list.addrs) > 0 {
				j.Field(list.name, mailboxes(list.addrs))
			}
		}
		j.Fields("headers", append(headers[:len(headers):len(headers)], api.Field{Name: idempotencyKey, Value: keyOf(c.Key(m))}))
		j.Splice(shared)
		return api.PostJSON("/v3/smtp/email", j.End()), nil
	}, nil
}

// keyOf is a key in the form that Brevo asks for, a UUID.
func keyOf(key string) string { return uuid.NewSHA1(uuid.NameSpaceURL, []byte(key)).String() }

// shared writes all that is not about recipients and headers.
func (p *provider) shared(m *upstream.Mail, msg *api.Message) (api.Payload, error) {
	text, page := msg.Text, msg.HTML
	if page.IsEmpty() {
		text = text.OrSpace()
		var err error
		if page, err = text.AsHTML(); err != nil {
			return nil, err
		}
	}
	j := api.Rest(text, page)
	if len(msg.ReplyTo) > 0 {
		j.Field("replyTo", mailboxOf(msg.ReplyTo[0], maxName))
	}
	j.Field("subject", api.OrSpace(msg.Subject))
	j.Name("htmlContent")
	j.Text(page)
	if !text.IsEmpty() {
		j.Name("textContent")
		j.Text(text)
	}
	j.Field("tags", []string{m.ID})
	err := j.Files("attachment", "content", msg.Files, file)
	return j.Part(), err
}

// headers returns the fields that travel: those in ASCII, since Brevo sends others as raw bytes
// (https://anymail.dev/en/stable/esps/brevo/), and Brevo's own where they are permitted.
func (p *provider) headers(m *upstream.Mail, msg *api.Message) []api.Field {
	var list []api.Field
	for _, f := range msg.Headers {
		if api.IsASCII(f.Value) {
			list = append(list, f)
		}
	}
	if !p.control {
		return list
	}
	seen := map[string]bool{}
	for _, f := range m.Message.Header {
		value := api.Line(mime.Header{f}.Text(f.Name))
		name := strings.ToLower(f.Name)
		if upstream.MatchesField(f.Name, []string{"X-Mailin-*", "X-Sib-*"}) && m.IsStrange(f.Name) && !seen[name] && value != "" && api.IsASCII(value) {
			seen[name] = true
			list = append(list, api.Field{Name: f.Name, Value: value})
		}
	}
	return list
}

// mailbox is {"email":…,"name":…}.
type mailbox struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}

func mailboxes(list []mime.Address) []mailbox {
	out := make([]mailbox, len(list))
	for i, a := range list {
		out[i] = mailboxOf(a, maxName)
	}
	return out
}

// mailboxOf takes punctuation out of names beyond ASCII: Brevo drops such names, or sends them as raw bytes
// (https://anymail.dev/en/stable/esps/brevo/). most is how many characters a name may have.
func mailboxOf(a mime.Address, most int) mailbox {
	name := api.Line(a.Name)
	if !api.IsASCII(name) {
		name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("()<>[]:;@\\,.\" ", r) }), " ")
	}
	if utf8.RuneCountInString(name) > most {
		name = strings.TrimSpace(string([]rune(name)[:most]))
	}
	return mailbox{a.Addr, name}
}

// Package postmark sends by Postmark's API, https://postmarkapp.com/developer/api/email-api
package postmark

import (
	"cmp"
	"errors"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// Limits of Postmark, https://postmarkapp.com/developer/user-guide/send-email-with-api and
// https://postmarkapp.com/support/article/1056-what-are-the-attachment-and-email-size-limits
const (
	maxRecipients = 50       // To, Cc and Bcc together
	maxBytes      = 10 << 20 // of a message, after base64
	maxBody       = 5 << 20  // of TextBody and HtmlBody, each
)

// form: fields of Postmark's own.
var form = api.Form{KeepsID: true, Reserved: []string{"X-PM-*", "X-Postmark-*"}}

// Kind is Postmark.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "postmark", Doc: "Postmark's API (JSON)", Changes: changes(),
		Traits: upstream.Traits{Apart: true, Bcc: upstream.BccRequest, Recipients: maxRecipients, Bytes: maxBytes, Tells: ways.Tells},
		New: func() upstream.Settings {
			return &settings{Settings: api.Defaults(), OnLossy: "refuse", Events: events.Defaults(), LogDelay: upstream.Duration{Duration: traceDelay}}
		},
		Setup: []upstream.Question{{Key: "server_token", Text: "Server token (not shown), or where it is kept: env:NAME, file:/path", Secret: true, Flag: "server-token",
			Default: func(map[string]string) string { return "env:POSTMARK_SERVER_TOKEN" }}},
	}
}

// changes lists what Postmark changes in every mail.
func changes() []string {
	return append(api.JSONChanges(),
		"Postmark is asked to keep the Message-ID (X-PM-KeepID); if it does not, the original is in X-Original-Message-ID",
		"a calendar alternative becomes an .ics file; an AMP alternative becomes a file",
		"an empty file gets one line end; an unnamed part of an unknown type is named .dat, because Postmark does not accept .bin",
		"mail with files that Postmark forbids by name (.exe, .bat, .msi, .mdb, .bin and others), or with texts of more than 5 MB, is not carried",
		"link tracking is switched off; open tracking can be forced by a setting of the Postmark server",
		"recipients that are inactive at Postmark are refused; the others get the mail")
}

type settings struct {
	api.Settings
	ServerToken   upstream.Secret   `toml:"server_token"`
	MessageStream string            `toml:"message_stream"`
	OnLossy       string            `toml:"on_lossy"`
	Events        events.Settings   `toml:"events"`
	LogDelay      upstream.Duration `toml:"log_delay"` // how late the list of messages may be
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	key := api.Key{Setting: "server_token", Field: "X-Postmark-Server-Token", Secret: s.ServerToken}
	client, err := api.Open(env, s.Settings, api.Service{
		URL: "https://api.postmarkapp.com", KeyHint: "take the server's under API Tokens at https://account.postmarkapp.com/servers",
		Recipients: maxRecipients, Bytes: maxBytes, Changes: changes(),
	}, key)
	listener, listenErr := s.Events.Open(env, ways)
	err = errors.Join(err, listenErr, events.CheckLogDelay(s.LogDelay), upstream.OneOf("on_lossy", s.OnLossy, "refuse", "allow"))
	if !isStream(s.MessageStream) {
		err = errors.Join(err, &upstream.KeyError{Key: "message_stream", Problem: "must be the id of a message stream, of letters, digits and hyphens",
			Hint: `the default is "outbound", Postmark's transactional stream`})
	}
	if err != nil {
		return nil, err
	}
	p := &provider{client: client, stream: s.MessageStream, flatten: s.OnLossy == "allow", control: s.PassControlHeaders}
	return &telling{api.New(client, p), newFeedback(p, listener, s.LogDelay.Duration)}, nil
}

// telling is the upstream of kind postmark.
type telling struct {
	*api.Upstream
	*feedback
}

// isStream reports whether s can be the id of a stream, https://postmarkapp.com/developer/api/message-streams-api
func isStream(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// provider sends by POST /email, https://postmarkapp.com/developer/api/email-api
type provider struct {
	client  *api.Client
	stream  string
	flatten bool // on_lossy = "allow"
	control bool // pass_control_headers
}

// Refuses leaves mail with barred files to Compose. Texts of so small a mail are below their limit.
func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) {
	for _, part := range m.Message.Root.Leaves() {
		if isBarred(part.Name) {
			return nil, false
		}
	}
	return api.Refuses(m, p.flatten), true
}

// Compose writes the fields that are the same for all calls.
func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	msg, e := api.ReadMessage(m, form, p.flatten)
	if e != nil {
		return nil, e
	}
	if e := check(msg); e != nil {
		return nil, e
	}
	shared, err := p.shared(m, msg)
	if err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		j.Field("From", api.FormatMailbox(msg.From))
		for _, list := range []struct {
			name  string
			addrs []mime.Address
		}{{"To", c.To}, {"Cc", c.Cc}, {"Bcc", c.Bcc}, {"ReplyTo", msg.ReplyTo}} {
			if len(list.addrs) > 0 {
				j.Field(list.name, strings.Join(api.FormatMailboxes(list.addrs), ", "))
			}
		}
		j.Splice(shared)
		return api.PostJSON("/email", j.End()), nil
	}, nil
}

// shared writes all that is not about people.
func (p *provider) shared(m *upstream.Mail, msg *api.Message) (api.Payload, error) {
	steer := p.instructions(m)
	j := api.Rest(msg.Text, msg.HTML)
	j.Field("Subject", api.OrSpace(msg.Subject))
	text := msg.Text
	if !msg.HTML.IsEmpty() {
		j.Name("HtmlBody")
		j.Text(msg.HTML)
	} else {
		text = text.OrSpace() // one of the two must be there
	}
	if !text.IsEmpty() {
		j.Name("TextBody")
		j.Text(text)
	}
	if list := headers(m, msg); len(list) > 0 {
		j.Field("Headers", list)
	}
	if stream := cmp.Or(steer.stream, p.stream); stream != "" {
		j.Field("MessageStream", stream)
	}
	if steer.tag != "" {
		j.Field("Tag", steer.tag)
	}
	j.Fields("Metadata", append(api.Fields{{Name: api.IDName, Value: m.ID}}, steer.metadata...))
	j.Field("TrackOpens", false)
	j.Field("TrackLinks", "None")
	err := j.Files("Attachments", "Content", msg.Files, file)
	return j.Part(), err
}

// header is {"Name":…,"Value":…}.
type header struct{ Name, Value string }

// headers adds the original Message-ID, which X-PM-KeepID asks to keep,
// https://postmarkapp.com/developer/user-guide/send-email-with-smtp
func headers(m *upstream.Mail, msg *api.Message) []header {
	list := make([]header, 0, len(msg.Headers)+2)
	if id := m.Message.MessageID; id != "" && api.IsASCII(id) && api.Line(id) == id {
		list = append(list, header{"Message-ID", id}, header{"X-PM-KeepID", "true"})
	}
	for _, f := range msg.Headers {
		list = append(list, header(f))
	}
	return list
}

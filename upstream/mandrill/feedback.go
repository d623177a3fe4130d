package mandrill

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

var ways = events.Ways{Tells: upstream.Tells{Webhook: true, Signed: true}}

// feedback reads Mandrill's webhooks.
type feedback struct {
	provider *provider
	listener *events.Listener
	reader   *events.Reader
}

func newFeedback(p *provider, l *events.Listener) *feedback {
	return &feedback{p, l, &events.Reader{Client: p.client, Problem: problemOf, Rules: rules}}
}

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening { return f.listener.Listening() }

// Poll is not offered: Mandrill's search returns the newest thousand messages and no further page.
func (f *feedback) Poll(context.Context, upstream.Ask) (upstream.Batch, error) {
	return upstream.Batch{}, &upstream.Error{Class: upstream.Account, Err: events.ErrNoPolling}
}

// record is an event, https://mailchimp.com/developer/transactional/docs/webhooks/
type record struct {
	Event events.Text `json:"event"`
	Type  events.Text `json:"type"` // "blacklist", "whitelist": changes of lists
	Time  events.Text `json:"ts"`
	ID    events.Text `json:"_id"`
	Msg   struct {
		ID          events.Text   `json:"_id"`
		Email       events.Text   `json:"email"`
		Metadata    events.Fields `json:"metadata"`
		Diag        events.Text   `json:"diag"`
		Description events.Text   `json:"bounce_description"`
		Reject      struct {
			Reason events.Text `json:"reason"`
		} `json:"reject"`
	} `json:"msg"`
}

var kinds = map[string]upstream.EventKind{"delivered": upstream.Delivered, "deferral": upstream.Deferred, "hard_bounce": upstream.Bounced, "soft_bounce": upstream.SoftBounced,
	"spam": upstream.Complained, "unsub": upstream.Unsubscribed, "open": upstream.Opened, "click": upstream.Clicked, "reject": upstream.Failed, "send": 0}

// refusals are the reasons of a reject that mean that the address is on a list.
var refusals = []string{"hard-bounce", "soft-bounce", "spam", "unsub", "custom"}

func (r *record) read(page *events.Page) {
	kind, known := kinds[string(r.Event)]
	if !known && r.Type == "" {
		page.Skip("an event %q", r.Event)
	}
	if kind == 0 {
		return
	}
	if kind == upstream.Failed && slices.Contains(refusals, string(r.Msg.Reject.Reason)) {
		kind = upstream.Suppressed
	}
	e := upstream.Event{Kind: kind, ProviderID: string(cmp.Or(r.Msg.ID, r.ID)), QueueID: r.Msg.Metadata[api.IDName], Recipient: string(r.Msg.Email), At: events.Moment(r.Time),
		Words: string(cmp.Or(r.Msg.Diag, r.Msg.Description, r.Msg.Reject.Reason))}
	if !e.At.IsZero() {
		e.Key = upstream.EventKey(e.ProviderID, string(r.Event), string(r.Time))
	}
	page.Add(e)
}

// Receive reads a webhook: a form, signed with the address that Mandrill was given. The signature has no time; what is
// sent again is known by its key.
// https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/#authenticating-webhook-requests
func (f *feedback) Receive(_ context.Context, h http.Header, body []byte) (upstream.Batch, error) {
	form, err := url.ParseQuery(string(body))
	secret, address := f.listener.Secret(), f.listener.Listening().URL
	if err != nil || secret == "" || address == "" {
		return upstream.Batch{}, upstream.ErrSignature
	}
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(address))
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		mac.Write([]byte(name + form.Get(name)))
	}
	given, err := base64.StdEncoding.DecodeString(h.Get("X-Mandrill-Signature"))
	if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return upstream.Batch{}, upstream.ErrSignature
	}
	return events.ReadWebhook([]byte(form.Get("mandrill_events")), (*record).read)
}

var hookEvents = []string{"delivered", "deferral", "hard_bounce", "soft_bounce", "spam", "unsub", "reject"}

type webhook struct {
	ID     int      `json:"id"`
	URL    string   `json:"url"`
	Key    string   `json:"auth_key"`
	Events []string `json:"events"`
}

// hooks makes a request about webhooks, https://mailchimp.com/developer/transactional/api/webhooks/
func (f *feedback) hooks(ctx context.Context, path string, fields map[string]any, v any) error {
	var j api.Object
	j.Secret("key", f.provider.key)
	for _, name := range []string{"id", "url", "description", "events"} {
		if value, ok := fields[name]; ok {
			j.Field(name, value)
		}
	}
	return f.reader.Read(ctx, api.PostJSON("/webhooks/"+path+".json", j.End()), v)
}

func (f *feedback) hook(ctx context.Context, address string) (found *webhook, missing []string, err error) {
	var got []webhook
	if err := f.hooks(ctx, "list", nil, &got); err != nil {
		return nil, nil, err
	}
	for i := range got {
		if strings.TrimSuffix(got[i].URL, "/") == strings.TrimSuffix(address, "/") {
			found = &got[i]
		}
	}
	for _, name := range hookEvents {
		if found == nil || !slices.Contains(found.Events, name) {
			missing = append(missing, name)
		}
	}
	return found, missing, nil
}

// Hook asks for the account's webhooks.
func (f *feedback) Hook(ctx context.Context, address string) upstream.Finding {
	_, missing, err := f.hook(ctx, address)
	return events.HookFinding(address, missing, err)
}

// SetHook makes a webhook; Mandrill makes its key. The address is part of the signature, so url has to be the same.
func (f *feedback) SetHook(ctx context.Context, address string) (upstream.Secret, error) {
	found, _, err := f.hook(ctx, address)
	if err != nil {
		return upstream.Secret{}, err
	}
	fields, path := map[string]any{"url": address, "description": "mailhatch", "events": hookEvents}, "add"
	if found != nil {
		fields["id"], path = found.ID, "update"
	}
	var made webhook
	err = f.hooks(ctx, path, fields, &made)
	return upstream.NewSecret(made.Key), err
}

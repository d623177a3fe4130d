package brevo

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// ways: Brevo signs nothing, https://developers.brevo.com/docs/username-and-password-authentication
var ways = events.Ways{Tells: upstream.Tells{Poll: true, Webhook: true}, Pace: time.Second}

const (
	logKept = 29 * 24 * time.Hour // https://developers.brevo.com/reference/get-email-event-report reaches back 90 days
	logPage = 500
)

// feedback reads Brevo's log and webhooks.
type feedback struct {
	listener *events.Listener
	reader   *events.Reader
	logDelay time.Duration
}

func newFeedback(p *provider, l *events.Listener, logDelay time.Duration) *feedback {
	return &feedback{l, &events.Reader{Client: p.client, Problem: problemOf, Rules: rules, Denied: []int{403},
		Scope: upstream.ScopeError{Scope: "of transactional statistics", Hint: "make a key that has it at https://app.brevo.com/settings/keys/api"}}, logDelay}
}

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening { return f.listener.Listening() }

// record is an event of the log or of a webhook, https://developers.brevo.com/docs/transactional-webhooks
type record struct {
	Event   events.Text `json:"event"`
	Email   events.Text `json:"email"`
	ID      events.Text `json:"messageId"`  // of the log
	HookID  events.Text `json:"message-id"` // of webhooks
	Date    events.Text `json:"date"`       // of the log, with its zone
	Seconds events.Text `json:"ts_event"`   // of webhooks, UTC; date is in the account's zone there
	Reason  events.Text `json:"reason"`
	Tag     events.Text `json:"tag"`
	Tags    events.Texts
}

// kinds are the names of the log and those of webhooks. Those with 0 say nothing of what became of the mail.
var kinds = map[string]upstream.EventKind{
	"delivered": upstream.Delivered, "deferred": upstream.Deferred, "hardBounces": upstream.Bounced, "hard_bounce": upstream.Bounced,
	"softBounces": upstream.SoftBounced, "soft_bounce": upstream.SoftBounced, "bounces": upstream.SoftBounced, "invalid": upstream.Bounced, "invalid_email": upstream.Bounced,
	"blocked": upstream.Suppressed, "error": upstream.Failed, "spam": upstream.Complained, "complaint": upstream.Complained, "complaints": upstream.Complained,
	"unsubscribed": upstream.Unsubscribed, "unsubscribe": upstream.Unsubscribed, "opened": upstream.Opened, "unique_opened": upstream.Opened, "clicks": upstream.Clicked, "click": upstream.Clicked,
	"requests": 0, "request": 0, "sent": 0, "loadedByProxy": 0, "proxy_open": 0, "unique_proxy_open": 0,
}

// queueID finds the tag that the mail was sent with: one word, or a list, as a list or written as one.
func (r *record) queueID() string {
	if len(r.Tags) == 1 {
		return r.Tags[0]
	}
	var list []string
	if json.Unmarshal([]byte(r.Tag), &list) == nil && len(list) == 1 {
		return list[0]
	}
	return string(r.Tag)
}

func (r *record) read(page *events.Page) {
	kind := page.KindOf(kinds, r.Event)
	if kind == 0 {
		return
	}
	when := r.Seconds
	if r.ID != "" {
		when = r.Date
	}
	e := upstream.Event{Kind: kind, ProviderID: string(cmp.Or(r.ID, r.HookID)), QueueID: r.queueID(), Recipient: string(r.Email), At: events.Moment(when), Words: string(r.Reason)}
	if !e.At.IsZero() {
		e.Key = upstream.EventKey(e.ProviderID, strings.ToLower(e.Recipient), kind.String(), strconv.FormatInt(e.At.Unix(), 10))
	}
	page.Add(e)
}

// report is a question to the log, newest first, which is asked for by days; a tag is that of one mail.
func report(from, now time.Time, offset, tag string) *api.Request {
	days := min(int(now.Sub(from)/(24*time.Hour))+2, 90)
	return events.Get("/v3/smtp/statistics/events", "limit", strconv.Itoa(logPage), "offset", cmp.Or(offset, "0"), "days", strconv.Itoa(days), "sort", "desc", "tags", tag)
}

// Poll reads back from the newest event to the beginning of the stretch. What comes meanwhile pushes events to later
// pages, where they are met again.
func (f *feedback) Poll(ctx context.Context, ask upstream.Ask) (upstream.Batch, error) {
	now := time.Now()
	s := events.Begin(ask, now, logKept)
	var got struct{ Events []json.RawMessage }
	if err := f.reader.Read(ctx, report(s.From, now, s.Page, ""), &got); err != nil {
		return upstream.Batch{}, err
	}
	page, next := events.NewPage(now), ""
	events.ReadAll(page, got.Events, (*record).read)
	if len(page.Events) == 0 || page.Events[len(page.Events)-1].At.After(s.From) {
		next = events.NextOffset(s.Page, len(got.Events), logPage)
	}
	page.Next, page.More = s.Next(next), next != ""
	return page.Batch, nil
}

// Receive reads a webhook, of one event or a batch.
func (f *feedback) Receive(_ context.Context, h http.Header, body []byte) (upstream.Batch, error) {
	if !f.listener.Shows(h) {
		return upstream.Batch{}, upstream.ErrSignature
	}
	return events.ReadWebhook(body, (*record).read)
}

// traceDelay is far above what Brevo's log lags, for which its documentation names no time.
const traceDelay = 10 * time.Minute

// TraceDelay returns how long after an offer the log has it.
func (f *feedback) TraceDelay() time.Duration { return f.logDelay }

// Trace looks for the queue id among the tags.
func (f *feedback) Trace(ctx context.Context, m *upstream.Mail, since time.Time) ([]upstream.Traced, error) {
	var got struct{ Events []record }
	if err := f.reader.Read(ctx, report(since, time.Now(), "", m.ID), &got); err != nil {
		return nil, err
	}
	if len(got.Events) == logPage {
		return nil, api.Errorf(upstream.Unrepresentable, "", "the log has too much of the mail")
	}
	traces := events.Traces{}
	for _, r := range got.Events {
		if r.queueID() == m.ID {
			traces.Add(string(r.Email), string(r.ID))
		}
	}
	return traces.Of(m), nil
}

// hookEvents: https://developers.brevo.com/reference/create-webhook
var hookEvents = []string{"delivered", "hardBounce", "softBounce", "blocked", "spam", "invalid", "deferred", "unsubscribed"}

// hook returns the id of the webhook with this address, "" where there is none.
func (f *feedback) hook(ctx context.Context, address string) (id string, missing []string, err error) {
	var got struct{ Webhooks []events.Webhook }
	err = f.reader.Read(ctx, events.Get("/v3/webhooks", "type", "transactional"), &got)
	if err != nil && !events.IsMissing(err) { // where it has none at all
		return "", nil, err
	}
	id, missing = events.FindHook(got.Webhooks, address, hookEvents)
	return id, missing, nil
}

// Hook asks for the account's webhooks.
func (f *feedback) Hook(ctx context.Context, address string) upstream.Finding {
	_, missing, err := f.hook(ctx, address)
	return events.HookFinding(address, missing, err)
}

// SetHook makes a webhook with a token.
func (f *feedback) SetHook(ctx context.Context, address string) (upstream.Secret, error) {
	id, _, err := f.hook(ctx, address)
	if err != nil {
		return upstream.Secret{}, err
	}
	secret := f.listener.Secret()
	if secret == "" {
		_, secret = f.listener.Login()
	}
	hook := map[string]any{"url": address, "events": hookEvents, "description": "mailhatch", "auth": map[string]string{"type": "bearer", "token": secret}}
	method, path := "PUT", "/v3/webhooks/"+url.PathEscape(id)
	if id == "" {
		method, path, hook["type"] = "POST", "/v3/webhooks", "transactional"
	}
	return upstream.NewSecret(secret), f.reader.Write(ctx, method, path, hook, nil)
}

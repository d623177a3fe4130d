package brevo

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
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
}

func newFeedback(p *provider, l *events.Listener) *feedback {
	return &feedback{l, &events.Reader{Client: p.client, Problem: problemOf, Rules: rules, Denied: []int{403},
		Scope: upstream.ScopeError{Scope: "of transactional statistics", Hint: "make a key that has it at https://app.brevo.com/settings/keys/api"}}}
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
	kind, known := kinds[string(r.Event)]
	if !known {
		page.Skip("an event %q", r.Event)
	}
	if kind == 0 {
		return
	}
	e := upstream.Event{Kind: kind, ProviderID: string(cmp.Or(r.ID, r.HookID)), QueueID: r.queueID(), Recipient: string(r.Email), Words: string(r.Reason)}
	if s, err := strconv.ParseInt(string(r.Seconds), 10, 64); err == nil {
		e.At = time.Unix(s, 0).UTC()
	} else if at, err := time.Parse(time.RFC3339, string(r.Date)); err == nil {
		e.At = at
	}
	e.Status = events.StatusIn(e.Words)
	if !e.At.IsZero() {
		e.Key = upstream.EventKey(e.ProviderID, strings.ToLower(e.Recipient), kind.String(), strconv.FormatInt(e.At.Unix(), 10))
	}
	page.Add(e)
}

// report is a question to the log, newest first, which is asked for by days.
func report(from, now time.Time, offset int, more url.Values) *api.Request {
	days := min(int(now.Sub(from)/(24*time.Hour))+2, 90)
	query := url.Values{"limit": {strconv.Itoa(logPage)}, "offset": {strconv.Itoa(offset)}, "days": {strconv.Itoa(days)}, "sort": {"desc"}}
	for name, values := range more {
		query[name] = values
	}
	return &api.Request{Method: "GET", Path: "/v3/smtp/statistics/events?" + query.Encode(), Header: []string{"Accept", "application/json"}}
}

// Poll reads back from the newest event to the beginning of the stretch. What comes meanwhile pushes events to later
// pages, where they are met again.
func (f *feedback) Poll(ctx context.Context, ask upstream.Ask) (upstream.Batch, error) {
	now := time.Now()
	s := events.Begin(ask, now, logKept)
	offset, _ := strconv.Atoi(s.Page)
	var got struct{ Events []json.RawMessage }
	if err := f.reader.Read(ctx, report(s.From, now, offset, nil), &got); err != nil {
		return upstream.Batch{}, err
	}
	page, next := events.NewPage(now), ""
	for _, raw := range got.Events {
		var r record
		if json.Unmarshal(raw, &r) != nil {
			page.Skip("an event that cannot be read")
			continue
		}
		r.read(page)
	}
	if len(got.Events) == logPage && (len(page.Events) == 0 || page.Events[len(page.Events)-1].At.After(s.From)) {
		next = strconv.Itoa(offset + logPage)
	}
	page.Next, page.More = s.Next(next), next != ""
	return page.Batch, nil
}

// Receive reads a webhook, of one event or a batch.
func (f *feedback) Receive(_ context.Context, h http.Header, body []byte) (upstream.Batch, error) {
	if !events.IsBearer(h, f.listener.Secret()) {
		return upstream.Batch{}, upstream.ErrSignature
	}
	page := events.NewPage(time.Now())
	ok := page.Each(body, func(raw json.RawMessage) error {
		var r record
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		r.read(page)
		return nil
	})
	if !ok {
		return upstream.Batch{}, upstream.ErrEvents
	}
	return page.Batch, nil
}

// traceDelay is far above what Brevo's log lags, for which its documentation names no time.
const traceDelay = 10 * time.Minute

// TraceDelay returns how long after an offer the log has it.
func (f *feedback) TraceDelay() time.Duration { return traceDelay }

// Trace looks for the queue id among the tags.
func (f *feedback) Trace(ctx context.Context, m *upstream.Mail, since time.Time) ([]upstream.Traced, error) {
	var got struct{ Events []record }
	if err := f.reader.Read(ctx, report(since, time.Now(), 0, url.Values{"tags": {m.ID}}), &got); err != nil {
		return nil, err
	}
	if len(got.Events) == logPage {
		return nil, api.Errorf(upstream.Unrepresentable, "", "the log has too much of the mail")
	}
	ids := map[string]string{}
	for _, r := range got.Events {
		if r.queueID() == m.ID {
			ids[strings.ToLower(string(r.Email))] = string(r.ID)
		}
	}
	found := make([]upstream.Traced, len(m.To))
	for i, rcpt := range m.To {
		id, ok := ids[strings.ToLower(rcpt.Address)]
		found[i] = upstream.Traced{Found: ok, ID: id}
	}
	return found, nil
}

// hookEvents: https://developers.brevo.com/reference/create-webhook
var hookEvents = []string{"delivered", "hardBounce", "softBounce", "blocked", "spam", "invalid", "deferred", "unsubscribed"}

// hook returns the id of the webhook with this address, 0 where there is none.
func (f *feedback) hook(ctx context.Context, address string) (id int, missing []string, err error) {
	var got struct {
		Webhooks []struct {
			ID     int
			URL    string
			Events []string
		}
	}
	err = f.reader.Read(ctx, &api.Request{Method: "GET", Path: "/v3/webhooks?type=transactional", Header: []string{"Accept", "application/json"}}, &got)
	if events.IsMissing(err) { // it has none at all
		return 0, hookEvents, nil
	}
	if err != nil {
		return 0, nil, err
	}
	var has []string
	for _, h := range got.Webhooks {
		if events.SameURL(h.URL, address) {
			id, has = h.ID, h.Events
		}
	}
	for _, name := range hookEvents {
		if !slices.Contains(has, name) {
			missing = append(missing, name)
		}
	}
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
		_, secret = events.NewBearer()
	}
	hook := map[string]any{"url": address, "events": hookEvents, "description": "mailhatch", "auth": map[string]string{"type": "bearer", "token": secret}}
	method, path := "PUT", "/v3/webhooks/"+strconv.Itoa(id)
	if id == 0 {
		method, path, hook["type"] = "POST", "/v3/webhooks", "transactional"
	}
	body, err := json.Marshal(hook)
	if err != nil {
		return upstream.Secret{}, err
	}
	q := api.PostJSON(path, api.Payload{{Literal: body}})
	q.Method = method
	return upstream.NewSecret(secret), f.reader.Read(ctx, q, nil)
}

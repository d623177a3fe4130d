package resend

import (
	"cmp"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

// ways: two requests a second are all that an account has, for sending too,
// https://resend.com/docs/api-reference/rate-limit
var ways = events.Ways{Tells: upstream.Tells{Poll: true, Webhook: true, Signed: true}, Pace: 3 * time.Second}

const (
	logKept = 7 * 24 * time.Hour
)

// feedback reads Resend's lists and webhooks.
type feedback struct {
	listener *events.Listener
	reader   *events.Reader
}

func newFeedback(p *provider, l *events.Listener) *feedback {
	return &feedback{l, &events.Reader{Client: p.client, Problem: problemOf, Rules: rules, Denied: []int{401, 403},
		Scope: upstream.ScopeError{Scope: "Full access", Hint: "a key that may only send is not told what became of mail: make one with Full access at https://resend.com/api-keys, or use a webhook"}}}
}

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening { return f.listener.Listening() }

// add puts an event into a page. Of each kind there is one for a recipient of a mail, however it is reported.
func add(page *events.Page, e upstream.Event) {
	if list, err := mime.ParseAddressList(e.Recipient); err == nil && len(list) == 1 {
		e.Recipient = list[0].Addr
	}
	if e.ProviderID != "" {
		e.Key = upstream.EventKey(e.ProviderID, strings.ToLower(e.Recipient), e.Kind.String())
	}
	page.Add(e)
}

// states are those of the list of emails. Hard bounces and complaints are read from the suppressions, which have the address.
var states = map[string]upstream.EventKind{
	"delivered": upstream.Delivered, "delivery_delayed": upstream.Deferred, "bounced": upstream.SoftBounced, "complained": upstream.Complained,
	"failed": upstream.Failed, "suppressed": upstream.Suppressed, "opened": upstream.Delivered, "clicked": upstream.Delivered,
	"sent": 0, "queued": 0, "scheduled": 0, "canceled": 0, "processed": 0,
}

// Poll reads the suppressions that bounces and complaints have made, then the states of mail.
// https://resend.com/docs/api-reference/emails/list-emails
func (f *feedback) Poll(ctx context.Context, ask upstream.Ask) (upstream.Batch, error) {
	now := time.Now()
	s := events.Begin(ask, now, logKept)
	list, after, _ := strings.Cut(cmp.Or(s.Page, "bounce:"), ":")
	page := events.NewPage(now)
	var next string
	var err error
	switch list {
	case "bounce":
		next, err = f.suppressions(ctx, page, s.From, "bounce", after, upstream.Bounced)
		next = cmp.Or(next, "complaint:")
	case "complaint":
		next, err = f.suppressions(ctx, page, s.From, "complaint", after, upstream.Complained)
		next = cmp.Or(next, "emails:")
	default:
		next, err = f.emails(ctx, page, s.Oldest(ask, now, logKept), after)
	}
	if err != nil {
		return upstream.Batch{}, err
	}
	page.Next, page.More = s.Next(next), next != ""
	return page.Batch, nil
}

// list asks for a page of one of Resend's lists; origin is of suppressions alone.
func (f *feedback) list(ctx context.Context, path, after, origin string, data any) error {
	return f.reader.Read(ctx, events.Get(path, "limit", "100", "after", after, "origin", origin), data)
}

// nextPage names the page behind one of a list; "" where that was the last.
func nextPage(list, last, after string, more bool) string {
	if !more || last == "" || last == after {
		return ""
	}
	return list + ":" + last
}

// suppressions reads a page of those of one origin, newest first, and names the next page; "" after the last.
func (f *feedback) suppressions(ctx context.Context, page *events.Page, from time.Time, origin, after string, kind upstream.EventKind) (string, error) {
	var got struct {
		More bool `json:"has_more"`
		Data []struct {
			ID, Email string
			Source    string      `json:"source_id"`
			Created   events.Text `json:"created_at"`
		}
	}
	if err := f.list(ctx, "/suppressions", after, origin, &got); err != nil {
		return "", err
	}
	last := ""
	for _, d := range got.Data {
		at := events.Moment(d.Created)
		if at.Before(from) && !at.IsZero() {
			return "", nil
		}
		last = d.ID
		if d.Source == "" { // by hand, or so old that nobody knows
			continue
		}
		add(page, upstream.Event{Kind: kind, ProviderID: d.Source, Recipient: d.Email, At: at, Words: "Resend has put the address on its list: " + origin})
	}
	return nextPage(origin, last, after, got.More), nil
}

// emails reads a page of the mail that was sent, newest first. Which of several recipients a state is about is not known.
func (f *feedback) emails(ctx context.Context, page *events.Page, oldest time.Time, after string) (string, error) {
	var got struct {
		More bool `json:"has_more"`
		Data []struct {
			ID          string
			To, Cc, Bcc events.Texts
			Created     events.Text `json:"created_at"`
			Last        events.Text `json:"last_event"`
		}
	}
	if err := f.list(ctx, "/emails", after, "", &got); err != nil {
		return "", err
	}
	last := ""
	for _, d := range got.Data {
		at := events.Moment(d.Created)
		if at.Before(oldest) && !at.IsZero() {
			return "", nil
		}
		last = d.ID
		kind := page.KindOf(states, d.Last)
		if people := slices.Concat(d.To, d.Cc, d.Bcc); kind != 0 && len(people) == 1 {
			add(page, upstream.Event{Kind: kind, ProviderID: d.ID, Recipient: people[0], Words: "Resend's last event is " + string(d.Last)}) // its time is not told
		}
	}
	return nextPage("emails", last, after, got.More), nil
}

// hooked is a webhook, https://resend.com/docs/webhooks/event-types
type hooked struct {
	Type    events.Text `json:"type"`
	Created events.Text `json:"created_at"`
	Data    struct {
		ID     events.Text  `json:"email_id"`
		To     events.Texts `json:"to"` // the recipients that it is about
		Bounce struct {
			Type, SubType, Message events.Text
			Diagnostic             events.Texts `json:"diagnosticCode"`
		} `json:"bounce"`
		Suppressed struct {
			Reason, Message events.Text
		} `json:"suppressed"`
		Failed struct{ Reason events.Text } `json:"failed"`
	} `json:"data"`
}

// types are those of webhooks; those with 0 say nothing of what became of a mail.
var types = map[string]upstream.EventKind{
	"email.delivered": upstream.Delivered, "email.delivery_delayed": upstream.Deferred, "email.bounced": upstream.Bounced, "email.complained": upstream.Complained,
	"email.failed": upstream.Failed, "email.suppressed": upstream.Suppressed, "email.opened": upstream.Opened, "email.clicked": upstream.Clicked,
	"email.sent": 0, "email.scheduled": 0, "email.received": 0,
}

func (h *hooked) read(page *events.Page) {
	kind, known := types[string(h.Type)]
	if !known && strings.HasPrefix(string(h.Type), "email.") || h.Type == "" {
		page.Skip("an event %q", h.Type)
	}
	if kind == 0 {
		return // contacts and domains have events too
	}
	if kind == upstream.Bounced && h.Data.Bounce.Type != "Permanent" {
		kind = upstream.SoftBounced
	}
	words := cmp.Or(h.Data.Bounce.Message, h.Data.Suppressed.Message, h.Data.Suppressed.Reason, h.Data.Failed.Reason)
	for i, to := range h.Data.To {
		e := upstream.Event{Kind: kind, ProviderID: string(h.Data.ID), Recipient: to, At: events.Moment(h.Created), Words: string(words)}
		if len(h.Data.Bounce.Diagnostic) == len(h.Data.To) {
			e.Words = h.Data.Bounce.Diagnostic[i]
		}
		add(page, e)
	}
	if len(h.Data.To) == 0 {
		page.Skip("%s without recipients", h.Type)
	}
}

// Receive reads a webhook, https://docs.svix.com/receiving/verifying-payloads/how-manual
func (f *feedback) Receive(_ context.Context, header http.Header, body []byte) (upstream.Batch, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(f.listener.Secret(), "whsec_"))
	id, stamp, now := header.Get("Svix-Id"), header.Get("Svix-Timestamp"), time.Now()
	if err != nil || len(key) == 0 || id == "" || !events.IsFresh(stamp, now, events.EachAttempt) {
		return upstream.Batch{}, upstream.ErrSignature
	}
	want := events.MAC(key, []byte(id), []byte("."), []byte(stamp), []byte("."), body)
	signed := false
	for _, s := range strings.Fields(header.Get("Svix-Signature")) { // several while a secret is being replaced
		given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "v1,"))
		signed = signed || err == nil && strings.HasPrefix(s, "v1,") && hmac.Equal(given, want)
	}
	if !signed {
		return upstream.Batch{}, upstream.ErrSignature
	}
	var h hooked
	if json.Unmarshal(body, &h) != nil {
		return upstream.Batch{}, upstream.ErrEvents
	}
	page := events.NewPage(now)
	h.read(page)
	return page.Batch, nil
}

var hookEvents = []string{"email.delivered", "email.delivery_delayed", "email.bounced", "email.complained", "email.failed", "email.suppressed"}

// hook returns the id of the webhook with this address; https://resend.com/docs/api-reference/webhooks/list-webhooks
func (f *feedback) hook(ctx context.Context, address string) (id string, missing []string, err error) {
	var got struct {
		Data []struct {
			ID               events.Text
			Endpoint, Status string
			Events           []string
		}
	}
	if err := f.list(ctx, "/webhooks", "", "", &got); err != nil {
		return "", nil, err
	}
	var list []events.Webhook
	for _, h := range got.Data {
		if h.Status == "disabled" {
			h.Events = nil
		}
		list = append(list, events.Webhook{ID: h.ID, URL: h.Endpoint, Events: h.Events})
	}
	id, missing = events.FindHook(list, address, hookEvents)
	return id, missing, nil
}

// Hook asks for the account's webhooks.
func (f *feedback) Hook(ctx context.Context, address string) upstream.Finding {
	_, missing, err := f.hook(ctx, address)
	return events.HookFinding(address, missing, err)
}

// SetHook makes a webhook, or corrects the one that is there. The secret comes with the first answer, and with that to
// a question for the webhook.
func (f *feedback) SetHook(ctx context.Context, address string) (upstream.Secret, error) {
	id, _, err := f.hook(ctx, address)
	if err != nil {
		return upstream.Secret{}, err
	}
	hook := map[string]any{"endpoint": address, "events": hookEvents}
	method, path := "POST", "/webhooks"
	if id != "" {
		method, path, hook["status"] = "PATCH", "/webhooks/"+url.PathEscape(id), "enabled"
	}
	var made struct {
		Secret string `json:"signing_secret"`
	}
	if err := f.reader.Write(ctx, method, path, hook, &made); err != nil {
		return upstream.Secret{}, err
	}
	if made.Secret == "" && id != "" {
		err = f.reader.Read(ctx, events.Get(path), &made)
	}
	return upstream.NewSecret(made.Secret), err
}

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
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// ways: two requests a second are all that an account has, for sending too,
// https://resend.com/docs/api-reference/rate-limit
var ways = events.Ways{Tells: upstream.Tells{Poll: true, Webhook: true, Signed: true}, Pace: 3 * time.Second}

const (
	logKept = 7 * 24 * time.Hour
	// recent is how old mail may be whose state each poll asks for; that of older mail is asked for now and then.
	recent = time.Hour
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

// timeOf reads the times of webhooks and of lists.
func timeOf(s string) time.Time {
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999Z07:00"} {
		if at, err := time.Parse(form, s); err == nil {
			return at
		}
	}
	return time.Time{}
}

// add puts an event into a page. Of each kind there is one for a recipient of a mail, however it is told.
func add(page *events.Page, e upstream.Event) {
	if list, err := mime.ParseAddressList(e.Recipient); err == nil && len(list) == 1 {
		e.Recipient = list[0].Addr
	}
	if e.ProviderID != "" {
		e.Key = upstream.EventKey(e.ProviderID, strings.ToLower(e.Recipient), e.Kind.String())
	}
	page.Add(e)
}

// states are those of the list of emails. Hard bounces and complaints are told by the suppressions, with the address.
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
		next, err = f.suppressions(ctx, page, s.From, "bounce", after, upstream.Bounced, "complaint:")
	case "complaint":
		next, err = f.suppressions(ctx, page, s.From, "complaint", after, upstream.Complained, "emails:")
	default:
		oldest := now.Add(-recent)
		if s.IsDeep() {
			oldest = ask.Oldest
		}
		if kept := now.Add(-logKept); oldest.Before(kept) {
			oldest = kept
		}
		next, err = f.emails(ctx, page, oldest, after)
	}
	if err != nil {
		return upstream.Batch{}, err
	}
	page.Next, page.More = s.Next(next), next != ""
	return page.Batch, nil
}

func (f *feedback) list(ctx context.Context, path, after string, query url.Values, data any) error {
	query.Set("limit", "100")
	if after != "" {
		query.Set("after", after)
	}
	return f.reader.Read(ctx, &api.Request{Method: "GET", Path: path + "?" + query.Encode()}, data)
}

// suppressions reads a page of those of one origin, newest first, and names the next page.
func (f *feedback) suppressions(ctx context.Context, page *events.Page, from time.Time, origin, after string, kind upstream.EventKind, then string) (string, error) {
	var got struct {
		More bool `json:"has_more"`
		Data []struct {
			ID, Email, Origin string
			Source            string `json:"source_id"`
			Created           string `json:"created_at"`
		}
	}
	if err := f.list(ctx, "/suppressions", after, url.Values{"origin": {origin}}, &got); err != nil {
		return "", err
	}
	for _, d := range got.Data {
		at := timeOf(d.Created)
		if at.Before(from) && !at.IsZero() {
			return then, nil
		}
		if d.Source == "" { // by hand, or so old that nobody knows
			continue
		}
		add(page, upstream.Event{Kind: kind, ProviderID: d.Source, Recipient: d.Email, At: at, Words: "Resend has put the address on its list: " + origin})
	}
	if n := len(got.Data); got.More && n > 0 && got.Data[n-1].ID != "" && got.Data[n-1].ID != after {
		return origin + ":" + got.Data[n-1].ID, nil
	}
	return then, nil
}

// emails reads a page of the mail that was sent, newest first. Whom of several recipients a state is about is not told.
func (f *feedback) emails(ctx context.Context, page *events.Page, oldest time.Time, after string) (string, error) {
	var got struct {
		More bool `json:"has_more"`
		Data []struct {
			ID          string
			To, Cc, Bcc events.Texts
			Created     string `json:"created_at"`
			Last        string `json:"last_event"`
		}
	}
	if err := f.list(ctx, "/emails", after, url.Values{}, &got); err != nil {
		return "", err
	}
	for _, d := range got.Data {
		at := timeOf(d.Created)
		if at.Before(oldest) && !at.IsZero() {
			return "", nil
		}
		kind, known := states[d.Last]
		if !known {
			page.Skip("a state %q", d.Last)
		}
		if people := slices.Concat(d.To, d.Cc, d.Bcc); kind != 0 && len(people) == 1 {
			add(page, upstream.Event{Kind: kind, ProviderID: d.ID, Recipient: people[0], Words: "Resend's last event is " + d.Last}) // its time is not told
		}
	}
	if n := len(got.Data); got.More && n > 0 && got.Data[n-1].ID != "" && got.Data[n-1].ID != after {
		return "emails:" + got.Data[n-1].ID, nil
	}
	return "", nil
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
		e := upstream.Event{Kind: kind, ProviderID: string(h.Data.ID), Recipient: to, At: timeOf(string(h.Created)), Words: string(words)}
		if len(h.Data.Bounce.Diagnostic) == len(h.Data.To) {
			e.Words = h.Data.Bounce.Diagnostic[i]
		}
		e.Status = events.StatusIn(e.Words)
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
			ID, Endpoint, Status string
			Events               []string
		}
	}
	if err := f.list(ctx, "/webhooks", "", url.Values{}, &got); err != nil {
		return "", nil, err
	}
	var has []string
	for _, h := range got.Data {
		if events.SameURL(h.Endpoint, address) {
			id = h.ID
			if h.Status != "disabled" {
				has = h.Events
			}
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
	body, err := json.Marshal(hook)
	if err != nil {
		return upstream.Secret{}, err
	}
	q := api.PostJSON(path, api.Payload{{Literal: body}})
	q.Method = method
	var made struct {
		Secret string `json:"signing_secret"`
	}
	if err := f.reader.Read(ctx, q, &made); err != nil {
		return upstream.Secret{}, err
	}
	if made.Secret == "" && id != "" {
		err = f.reader.Read(ctx, &api.Request{Method: "GET", Path: path}, &made)
	}
	return upstream.NewSecret(made.Secret), err
}

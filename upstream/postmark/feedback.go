package postmark

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// ways: Postmark signs nothing, https://postmarkapp.com/developer/webhooks/webhooks-overview
var ways = events.Ways{Tells: upstream.Tells{Poll: true, Webhook: true}, Pace: time.Second}

const (
	logKept   = 45 * 24 * time.Hour // https://postmarkapp.com/developer/api/messages-api (retention)
	logPage   = 500
	logWindow = 10_000 // count and offset together
)

// feedback reads Postmark's bounces, messages and webhooks.
type feedback struct {
	provider *provider
	listener *events.Listener
	reader   *events.Reader
	logDelay time.Duration
}

func newFeedback(p *provider, l *events.Listener, logDelay time.Duration) *feedback {
	return &feedback{p, l, &events.Reader{Client: p.client, Problem: problemOf, Rules: rules}, logDelay}
}

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening {
	l := f.listener.Listening()
	l.Bounces = !l.Webhook // the list has nothing else
	return l
}

// record is a webhook, or a bounce of the list, https://postmarkapp.com/developer/api/bounce-api and
// https://postmarkapp.com/developer/webhooks/bounce-webhook
type record struct {
	RecordType      events.Text
	ID              events.Text
	Type            events.Text
	MessageID       events.Text
	Email           events.Text // of bounces and complaints
	Recipient       events.Text // of all others
	BouncedAt       events.Text
	DeliveredAt     events.Text
	ReceivedAt      events.Text
	ChangedAt       events.Text
	Description     events.Text
	Details         events.Text
	Suppress        bool        `json:"SuppressSending"`
	SuppressionWhy  events.Text `json:"SuppressionReason"`
	Metadata        events.Fields
	MessageStreamID events.Text `json:"MessageStream"`
}

// bounceTypes: https://postmarkapp.com/developer/api/bounce-api#bounce-types. Those with 0 say nothing of what became of
// the mail.
var bounceTypes = map[string]upstream.EventKind{
	"HardBounce": upstream.Bounced, "BadEmailAddress": upstream.Bounced, "Transient": upstream.Deferred,
	"SoftBounce": upstream.SoftBounced, "DnsError": upstream.SoftBounced, "Unknown": upstream.SoftBounced, "Unconfirmed": upstream.SoftBounced,
	"SpamComplaint": upstream.Complained, "Unsubscribe": upstream.Unsubscribed, "ManuallyDeactivated": upstream.Suppressed,
	"SpamNotification": upstream.Failed, "VirusNotification": upstream.Failed, "Blocked": upstream.Failed, "SMTPApiError": upstream.Failed,
	"DMARCPolicy": upstream.Failed, "TemplateRenderingFailed": upstream.Failed,
	"AutoResponder": 0, "Subscribe": 0, "AddressChange": 0, "OpenRelayTest": 0, "ChallengeVerification": 0, "InboundError": 0,
}

// kind returns what a record means; known is false for one that this version does not know.
func (r *record) kind() (k upstream.EventKind, known bool) {
	switch r.RecordType {
	case "Delivery":
		return upstream.Delivered, true
	case "Bounce", "SpamComplaint", "": // a list has bounces only
		k, known = bounceTypes[string(r.Type)]
		return k, known
	case "Open":
		return upstream.Opened, true
	case "Click":
		return upstream.Clicked, true
	case "SubscriptionChange":
		if r.Suppress && r.SuppressionWhy == "ManualSuppression" {
			return upstream.Unsubscribed, true
		}
		return 0, true // bounces and complaints are told by themselves
	}
	return 0, false
}

func (r *record) read(page *events.Page) {
	kind, known := r.kind()
	if !known {
		page.Skip("a record %q of type %q", r.RecordType, r.Type)
	}
	if kind == 0 {
		return
	}
	e := upstream.Event{Kind: kind, ProviderID: string(r.MessageID), QueueID: r.Metadata[api.IDName], Recipient: cmp.Or(string(r.Email), string(r.Recipient)),
		Words: cmp.Or(string(r.Details), string(r.Description))}
	when := cmp.Or(r.BouncedAt, r.DeliveredAt, r.ReceivedAt, r.ChangedAt)
	e.At = events.Moment(when)
	if r.ID != "" {
		e.Key = "bounce " + string(r.ID)
	} else if when != "" {
		e.Key = upstream.EventKey(string(r.MessageID), e.Recipient, kind.String(), string(when))
	}
	page.Add(e)
}

// eastern writes a time for Postmark, which goes by New York's: hours are those behind UTC, 5 in winter and 4 in
// summer. A window that begins by the one and ends by the other holds what is meant at either time of the year.
func eastern(t time.Time, hours int) string {
	return t.UTC().Add(-time.Duration(hours) * time.Hour).Format("2006-01-02T15:04:05")
}

// Poll lists bounces, complaints among them, newest first; deliveries are reported by webhooks alone.
func (f *feedback) Poll(ctx context.Context, ask upstream.Ask) (upstream.Batch, error) {
	now := time.Now()
	s := events.Begin(ask, now, logKept)
	offset, _ := strconv.Atoi(s.Page)
	var got struct {
		TotalCount int
		Bounces    []json.RawMessage
	}
	if err := f.reader.Read(ctx, events.Get("/bounces", "count", strconv.Itoa(logPage), "offset", strconv.Itoa(offset), "messagestream", f.provider.stream,
		"fromdate", eastern(s.From, 5), "todate", eastern(s.To.Add(time.Minute), 4)), &got); err != nil {
		return upstream.Batch{}, err
	}
	page := events.NewPage(now)
	events.ReadAll(page, got.Bounces, (*record).read)
	next, offset := "", offset+len(got.Bounces)
	switch {
	case len(got.Bounces) == 0 || offset >= got.TotalCount:
	case offset+logPage > logWindow:
		page.Remark("Postmark lists no more than %d bounces at once; there are %d", logWindow, got.TotalCount)
	default:
		next = strconv.Itoa(offset)
	}
	page.Next, page.More = s.Next(next), next != ""
	return page.Batch, nil
}

// Receive reads a webhook.
func (f *feedback) Receive(_ context.Context, h http.Header, body []byte) (upstream.Batch, error) {
	if !f.listener.Shows(h) {
		return upstream.Batch{}, upstream.ErrSignature
	}
	return events.ReadWebhook(body, func(r *record, page *events.Page) {
		if r.RecordType == "" {
			page.Skip("a record without a type")
			return
		}
		r.read(page)
	})
}

// hook is a webhook, https://postmarkapp.com/developer/api/webhooks-api
type hook struct {
	ID            int `json:",omitempty"`
	URL           string
	MessageStream string `json:",omitempty"`
	HTTPAuth      *auth  `json:"HttpAuth,omitempty"`
	Triggers      map[string]trigger
}

type auth struct{ Username, Password string }

type trigger struct{ Enabled bool }

var hookTriggers = []string{"Delivery", "Bounce", "SpamComplaint", "SubscriptionChange"}

// hook returns the one with this address, by its path: the password in it is not looked at.
func (f *feedback) hook(ctx context.Context, address string) (found *hook, missing []string, err error) {
	var got struct{ Webhooks []hook }
	if err := f.reader.Read(ctx, events.Get("/webhooks", "MessageStream", cmp.Or(f.provider.stream, "outbound")), &got); err != nil {
		return nil, nil, err
	}
	if i := slices.IndexFunc(got.Webhooks, func(h hook) bool { return events.SameURL(h.URL, address) }); i >= 0 {
		found = &got.Webhooks[i]
	}
	for _, name := range hookTriggers {
		if found == nil || !found.Triggers[name].Enabled {
			missing = append(missing, name)
		}
	}
	return found, missing, nil
}

// Hook asks for the stream's webhooks.
func (f *feedback) Hook(ctx context.Context, address string) upstream.Finding {
	_, missing, err := f.hook(ctx, address)
	return events.HookFinding(address, missing, err)
}

// SetHook makes a webhook with a user and a password.
func (f *feedback) SetHook(ctx context.Context, address string) (upstream.Secret, error) {
	found, _, err := f.hook(ctx, address)
	if err != nil {
		return upstream.Secret{}, err
	}
	user, password := f.listener.Login()
	h := hook{URL: address, HTTPAuth: &auth{user, password}, Triggers: map[string]trigger{}}
	for _, name := range hookTriggers {
		h.Triggers[name] = trigger{true}
	}
	method, path := "POST", "/webhooks"
	if found != nil {
		method, path = "PUT", "/webhooks/"+strconv.Itoa(found.ID)
	} else {
		h.MessageStream = cmp.Or(f.provider.stream, "outbound")
	}
	return upstream.NewSecret(user + ":" + password), f.reader.Write(ctx, method, path, h, nil)
}

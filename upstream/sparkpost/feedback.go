package sparkpost

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

// ways: SparkPost signs nothing, https://developers.sparkpost.com/api/webhooks/
var ways = events.Ways{Tells: upstream.Tells{Poll: true, Webhook: true}, Pace: 2 * time.Second}

const logKept = 10 * 24 * time.Hour // https://developers.sparkpost.com/api/events/

// feedback reads SparkPost's events and webhooks.
type feedback struct {
	listener *events.Listener
	reader   *events.Reader
	logDelay time.Duration
}

func newFeedback(p *provider, l *events.Listener, logDelay time.Duration) *feedback {
	return &feedback{l, &events.Reader{Client: p.client, Problem: func(a *api.Answer) api.Problem { _, w := read(a); return w }, Rules: rules, Denied: []int{403},
		Scope: upstream.ScopeError{Scope: "Events Search: Read-only", Hint: "grant it to the key at https://app.sparkpost.com/account/api-keys, in the EU at https://app.eu.sparkpost.com/account/api-keys"}}, logDelay}
}

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening { return f.listener.Listening() }

// record is an event, of the search and of webhooks alike, https://developers.sparkpost.com/api/events/
type record struct {
	Type      events.Text   `json:"type"`
	ID        events.Text   `json:"event_id"`
	Time      events.Text   `json:"timestamp"` // of the search: RFC 3339; of webhooks: seconds since 1970
	Recipient events.Text   `json:"rcpt_to"`
	Raw       events.Text   `json:"raw_rcpt_to"`
	Mail      events.Text   `json:"transmission_id"`
	Meta      events.Fields `json:"rcpt_meta"`
	Class     events.Text   `json:"bounce_class"`
	RawReason events.Text   `json:"raw_reason"`
	Reason    events.Text   `json:"reason"`
}

// wanted are the types that are asked for.
var wanted = []string{"delivery", "bounce", "delay", "out_of_band", "policy_rejection", "generation_failure", "generation_rejection", "spam_complaint",
	"list_unsubscribe", "link_unsubscribe"}

// silent are types that say nothing of what became of a mail.
var silent = []string{"injection", "sms_status", "amp_open", "amp_click", "amp_initial_open", "initial_open", "ab_test_completed", "ab_test_cancelled", "ingest_success", "ingest_error", "relay_delivery", "relay_injection", "relay_message", "relay_permfail", "relay_rejection", "relay_tempfail"}

// bounceKind reads a bounce classification, https://support.sparkpost.com/docs/deliverability/bounce-classification-codes
func bounceKind(class, reason string) upstream.EventKind {
	n, _ := strconv.Atoi(class)
	switch {
	case n == 10 || n == 30 || n == 90:
		return upstream.Bounced
	case n == 25 && strings.Contains(strings.ToLower(reason), "suppress"):
		return upstream.Suppressed
	case n == 25 || n >= 50 && n <= 54: // its own rules, and blocks, are not about the address
		return upstream.Failed
	}
	return upstream.SoftBounced
}

func (r *record) kind() upstream.EventKind {
	reason := string(r.RawReason + r.Reason)
	switch string(r.Type) {
	case "delivery":
		return upstream.Delivered
	case "delay":
		return upstream.Deferred
	case "bounce", "out_of_band":
		return bounceKind(string(r.Class), reason)
	case "policy_rejection":
		if strings.Contains(strings.ToLower(reason), "suppress") {
			return upstream.Suppressed
		}
		return upstream.Failed
	case "generation_failure", "generation_rejection":
		return upstream.Failed
	case "spam_complaint":
		return upstream.Complained
	case "list_unsubscribe", "link_unsubscribe":
		return upstream.Unsubscribed
	case "open":
		return upstream.Opened
	case "click":
		return upstream.Clicked
	}
	return 0
}

func (r *record) read(page *events.Page) {
	kind := r.kind()
	if kind == 0 {
		if !slices.Contains(silent, string(r.Type)) {
			page.Skip("an event %q", r.Type)
		}
		return
	}
	e := upstream.Event{Kind: kind, ProviderID: string(r.Mail), QueueID: r.Meta[api.IDName], Recipient: string(cmp.Or(r.Raw, r.Recipient)), At: events.Moment(r.Time), Words: string(cmp.Or(r.RawReason, r.Reason)), Key: string(r.ID)}
	page.Add(e)
}

// Poll searches for events. A page names the next one by its path.
func (f *feedback) Poll(ctx context.Context, ask upstream.Ask) (upstream.Batch, error) {
	now := time.Now()
	s := events.Begin(ask, now, logKept)
	q := f.search(s.From, s.To, wanted)
	if strings.HasPrefix(s.Page, searchPath+"?") {
		q = events.Get(s.Page)
	}
	got, err := f.page(ctx, q)
	if err != nil {
		return upstream.Batch{}, err
	}
	page := events.NewPage(now)
	events.ReadAll(page, got.Results, (*record).read)
	page.Next, page.More = s.Next(got.next()), got.next() != ""
	return page.Batch, nil
}

const searchPath = "/api/v1/events/message"

// search is a question for the events of a time; more of it is name, value, name, value…
func (f *feedback) search(from, to time.Time, types []string, more ...string) *api.Request {
	const minute = "2006-01-02T15:04Z"
	delimiter := ","
	if i := slices.Index(more, "delimiter"); i >= 0 {
		delimiter = more[i+1]
	}
	return events.Get(searchPath, append([]string{"events", strings.Join(types, delimiter), "from", from.UTC().Format(minute), "to", to.UTC().Format(minute),
		"per_page", "1000", "cursor", "initial"}, more...)...)
}

// found is a page of events.
type found struct {
	Results []json.RawMessage `json:"results"`
	Links   struct {
		Next string `json:"next"`
	} `json:"links"`
}

func (f *feedback) page(ctx context.Context, q *api.Request) (got found, err error) {
	return got, f.reader.Read(ctx, q, &got)
}

// next is the path of the next page, "" where this is the last.
func (p *found) next() string {
	next := p.Links.Next
	if len(p.Results) == 0 || !strings.HasPrefix(next, searchPath+"?") || len(next) > 4096 || strings.ContainsAny(next, " \r\n") {
		return ""
	}
	return next
}

// Receive reads a webhook: a list of {"msys":{"message_event":{…}}}.
func (f *feedback) Receive(_ context.Context, h http.Header, body []byte) (upstream.Batch, error) {
	if !f.listener.Shows(h) {
		return upstream.Batch{}, upstream.ErrSignature
	}
	type outer struct {
		Msys map[string]record `json:"msys"`
	}
	return events.ReadWebhook(body, func(o *outer, page *events.Page) {
		for _, r := range o.Msys { // one, or none in a test
			r.read(page)
		}
	})
}

// hook returns the id of the webhook with this address, https://developers.sparkpost.com/api/webhooks/
func (f *feedback) hook(ctx context.Context, address string) (id string, missing []string, err error) {
	var got struct {
		Results []struct {
			ID     events.Text
			Target string
			Events []string
		} `json:"results"`
	}
	if err := f.hookReader().Read(ctx, events.Get(webhooks), &got); err != nil {
		return "", nil, err
	}
	var list []events.Webhook
	for _, h := range got.Results {
		list = append(list, events.Webhook{ID: h.ID, URL: h.Target, Events: h.Events})
	}
	id, missing = events.FindHook(list, address, wanted)
	return id, missing, nil
}

const webhooks = "/api/v1/webhooks"

func (f *feedback) hookReader() *events.Reader {
	return f.reader.With(upstream.ScopeError{Scope: "Event Webhooks: Read/Write", Hint: f.reader.Scope.Hint})
}

// Hook asks for the account's webhooks.
func (f *feedback) Hook(ctx context.Context, address string) upstream.Finding {
	_, missing, err := f.hook(ctx, address)
	return events.HookFinding(address, missing, err)
}

// SetHook makes a webhook with a user and a password.
func (f *feedback) SetHook(ctx context.Context, address string) (upstream.Secret, error) {
	id, _, err := f.hook(ctx, address)
	if err != nil {
		return upstream.Secret{}, err
	}
	user, password := f.listener.Login()
	hook := map[string]any{"name": "mailhatch", "target": address, "events": wanted, "auth_type": "basic",
		"auth_credentials": map[string]string{"username": user, "password": password}}
	method, path := "POST", webhooks
	if id != "" {
		method, path = "PUT", webhooks+"/"+url.PathEscape(id)
	}
	return upstream.NewSecret(user + ":" + password), f.hookReader().Write(ctx, method, path, hook, nil)
}

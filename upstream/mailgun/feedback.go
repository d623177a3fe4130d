package mailgun

import (
	"cmp"
	"context"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// logKept is how far back the log is asked; Mailgun keeps it from 1 to 30 days, by plan.
const logKept = 7 * 24 * time.Hour

// feedback reads Mailgun's log and webhooks.
type feedback struct {
	provider *provider
	listener *events.Listener
	reader   *events.Reader
	logDelay time.Duration
}

func newFeedback(g *provider, l *events.Listener, logDelay time.Duration) *feedback {
	return &feedback{g, l, &events.Reader{Client: g.client, Problem: problemOf, Rules: rules, Denied: []int{401, 403},
		Scope: upstream.ScopeError{Scope: "of the role Analyst", Hint: "a key that may only send is not shown the log: make one with the role Analyst or Developer at https://app.mailgun.com/settings/api_security"}}, logDelay}
}

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening { return f.listener.Listening() }

// logged is an event as the log and webhooks have it,
// https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads
type logged struct {
	ID        events.Text `json:"id"`
	Event     events.Text `json:"event"`
	Time      events.Text `json:"timestamp"`  // of webhooks: seconds since 1970, with a fraction
	At        events.Text `json:"@timestamp"` // of the log: RFC 3339
	Recipient events.Text `json:"recipient"`
	Severity  events.Text `json:"severity"`
	Reason    events.Text `json:"reason"`
	Reject    struct {
		Reason, Description events.Text
	} `json:"reject"`
	Delivery struct {
		Code        events.Text `json:"code"`
		Message     events.Text `json:"message"`
		Description events.Text `json:"description"`
		Enhanced    events.Text `json:"enhanced-code"`
		Bounce      events.Text `json:"bounce-type"`
		MX          events.Text `json:"mx-host"`
	} `json:"delivery-status"`
	Variables events.Fields `json:"user-variables"`
	Message   struct {
		Headers struct {
			ID events.Text `json:"message-id"`
		} `json:"headers"`
	} `json:"message"`
}

// silent are events that say nothing of what became of a mail.
var silent = []string{"accepted", "stored", "list_member_uploaded", "list_member_upload_error", "list_uploaded"}

// kind returns what an event means, 0 for one that is not known.
func (l *logged) kind() upstream.EventKind {
	reason := string(l.Reason)
	switch string(l.Event) {
	case "delivered":
		return upstream.Delivered
	case "complained":
		return upstream.Complained
	case "unsubscribed":
		return upstream.Unsubscribed
	case "opened":
		return upstream.Opened
	case "clicked":
		return upstream.Clicked
	case "rejected":
		return upstream.Failed
	case "failed":
		switch {
		case l.Severity == "temporary":
			return upstream.Deferred
		case strings.HasPrefix(reason, "suppress-"):
			return upstream.Suppressed
		case reason == "old" || reason == "espblock" || l.Delivery.Bounce == "soft":
			return upstream.Failed // given up: too many attempts, or a block that is not about the address
		}
		return upstream.Bounced
	}
	return 0
}

// read adds an event to a page.
func (l *logged) read(page *events.Page) {
	kind := l.kind()
	if slices.Contains(silent, string(l.Event)) {
		return
	}
	if kind == 0 {
		page.Skip("an event %q", l.Event)
		return
	}
	e := upstream.Event{Kind: kind, Recipient: string(l.Recipient), At: events.Moment(cmp.Or(l.At, l.Time)), QueueID: l.Variables[api.IDName], Status: string(l.Delivery.Enhanced), RemoteMTA: string(l.Delivery.MX)}
	if id := strings.Trim(string(l.Message.Headers.ID), "<>"); id != "" {
		e.ProviderID = "<" + id + ">" // as the answer to the mail has it
	}
	e.Words = strings.TrimSpace(cmp.Or(string(l.Delivery.Message), string(l.Delivery.Description), string(l.Reject.Reason), string(l.Reject.Description)))
	if l.Reason != "" && kind != upstream.Bounced {
		e.Words = strings.TrimSuffix(string(l.Reason)+": "+e.Words, ": ")
	}
	if l.ID != "" && !e.At.IsZero() { // ids are told apart within a day
		e.Key = string(l.ID) + " " + e.At.Format(time.DateOnly)
	}
	page.Add(e)
}

// question is what the log is asked, https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/logs
func (f *feedback) question(from, to time.Time, names []string, recipient, token string) map[string]any {
	type value struct {
		Label string `json:"label"`
		Value string `json:"value"`
	}
	type filter struct {
		Attribute  string  `json:"attribute"`
		Comparator string  `json:"comparator"`
		Values     []value `json:"values"`
	}
	filters := []filter{{"domain", "=", []value{{f.provider.domain, f.provider.domain}}}}
	if recipient != "" {
		filters = append(filters, filter{"recipient", "=", []value{{recipient, recipient}}})
	}
	pages := map[string]any{"sort": "timestamp:asc", "limit": 100}
	if token != "" {
		pages["token"] = token
	}
	return map[string]any{"start": from.UTC().Format(time.RFC1123Z), "end": to.UTC().Add(time.Second).Format(time.RFC1123Z),
		"events": names, "filter": map[string]any{"AND": filters}, "pagination": pages}
}

func (f *feedback) ask(ctx context.Context, question map[string]any) (page logPage, err error) {
	err = f.reader.Write(ctx, "POST", "/v1/analytics/logs", question, &page)
	return page, err
}

type logPage struct {
	Items      []json.RawMessage `json:"items"`
	Pagination struct {
		Next  string `json:"next"`
		Total int    `json:"total"`
	} `json:"pagination"`
}

// Poll reads a page of the log.
func (f *feedback) Poll(ctx context.Context, ask upstream.Ask) (upstream.Batch, error) {
	now := time.Now()
	s := events.Begin(ask, now, logKept)
	names := []string{"delivered", "failed", "rejected", "complained", "unsubscribed"} // opens and clicks are not tracked
	got, err := f.ask(ctx, f.question(s.From, s.To, names, "", s.Page))
	if err != nil {
		return upstream.Batch{}, err
	}
	page := events.NewPage(now)
	events.ReadAll(page, got.Items, (*logged).read)
	next := got.Pagination.Next
	if len(got.Items) == 0 || next == s.Page || len(next) > 4096 { // the page behind the last one is empty
		next = ""
	}
	page.Next, page.More = s.Next(next), next != ""
	return page.Batch, nil
}

// Receive reads a webhook. Its signature does not cover the event, which is therefore read from the log.
// https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
func (f *feedback) Receive(ctx context.Context, _ http.Header, body []byte) (upstream.Batch, error) {
	var hook struct {
		Signature struct{ Timestamp, Token, Signature events.Text }
		Data      json.RawMessage `json:"event-data"`
	}
	now, secret := time.Now(), f.listener.Secret()
	if json.Unmarshal(body, &hook) != nil || secret == "" {
		return upstream.Batch{}, upstream.ErrSignature
	}
	given, err := hex.DecodeString(string(hook.Signature.Signature))
	want := events.MAC([]byte(secret), []byte(hook.Signature.Timestamp), []byte(hook.Signature.Token))
	if err != nil || hook.Signature.Token == "" || !hmac.Equal(given, want) || !events.IsFresh(string(hook.Signature.Timestamp), now, events.WholeDay) {
		return upstream.Batch{}, upstream.ErrSignature
	}
	var told logged
	if json.Unmarshal(hook.Data, &told) != nil {
		return upstream.Batch{}, upstream.ErrEvents
	}
	page := events.NewPage(now)
	told.read(page)
	page.Nonce = string(hook.Signature.Token)
	if len(page.Events) == 0 {
		return page.Batch, nil
	}
	if harmless(page.Events[0].Kind) {
		page.Events[0].Unsigned = true
		return page.Batch, nil
	}
	return f.confirm(ctx, page, &told)
}

// harmless reports whether an event neither causes a bounce nor stops later mail.
func harmless(k upstream.EventKind) bool {
	return k == upstream.Delivered || k == upstream.Deferred || k == upstream.Opened || k == upstream.Clicked
}

// confirm replaces what a webhook reported with what the log has under the same id.
func (f *feedback) confirm(ctx context.Context, told *events.Page, l *logged) (upstream.Batch, error) {
	e := told.Events[0]
	if e.At.IsZero() {
		return upstream.Batch{}, upstream.ErrEvents
	}
	got, err := f.ask(ctx, f.question(e.At.Add(-time.Minute), e.At.Add(time.Minute), []string{string(l.Event)}, e.Recipient, ""))
	if events.IsDenied(err) {
		told.Remark("%s of %s is not counted: the signature does not cover it, and %v", e.Kind, e.Recipient, err)
		told.Events = nil
		return told.Batch, nil
	}
	if err != nil {
		return upstream.Batch{}, err
	}
	page := events.NewPage(time.Now())
	events.ReadAll(page, got.Items, (*logged).read)
	page.Events = slices.DeleteFunc(page.Events, func(o upstream.Event) bool { return o.Key != e.Key || !strings.EqualFold(o.Recipient, e.Recipient) })
	if len(page.Events) == 0 {
		return upstream.Batch{}, api.Errorf(upstream.Temporary, "", "the log does not have %s of %s yet", e.Kind, e.Recipient)
	}
	return upstream.Batch{Events: page.Events, Nonce: told.Nonce}, nil
}

// hookNames are the webhooks that report what counts,
// https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/domain-webhooks
var hookNames = []string{"delivered", "permanent_fail", "temporary_fail", "complained", "unsubscribed"}

func (f *feedback) hooks(ctx context.Context, address string) (missing []string, err error) {
	var got struct {
		Webhooks map[string]struct{ URLs []string } `json:"webhooks"`
	}
	if err := f.reader.Read(ctx, events.Get("/v3/domains/"+url.PathEscape(f.provider.domain)+"/webhooks"), &got); err != nil {
		return nil, err
	}
	for _, name := range hookNames {
		if !slices.Contains(got.Webhooks[name].URLs, address) {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// Hook asks for the domain's webhooks.
func (f *feedback) Hook(ctx context.Context, address string) upstream.Finding {
	missing, err := f.hooks(ctx, address)
	return events.HookFinding(address, missing, err)
}

// SetHook adds the address to the domain's webhooks.
func (f *feedback) SetHook(ctx context.Context, address string) (upstream.Secret, error) {
	missing, err := f.hooks(ctx, address)
	if err != nil {
		return upstream.Secret{}, err
	}
	if len(missing) > 0 {
		form := url.Values{"url": {address}, "event_types": missing}
		q := &api.Request{Method: "POST", Path: "/v4/domains/" + url.PathEscape(f.provider.domain) + "/webhooks",
			Header: []string{"Content-Type", "application/x-www-form-urlencoded"}, Body: api.Payload{{Literal: []byte(form.Encode())}}}
		if err := f.reader.Read(ctx, q, nil); err != nil {
			return upstream.Secret{}, err
		}
	}
	var key struct {
		Key string `json:"http_signing_key"`
	}
	err = f.reader.Read(ctx, events.Get("/v5/accounts/http_signing_key"), &key)
	return upstream.NewSecret(key.Key), err
}

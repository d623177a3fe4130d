package sendgrid

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
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

// ways: https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits
var ways = events.Ways{Tells: upstream.Tells{Poll: true, Webhook: true, Signed: true}, Pace: 2 * time.Second}

// feedback reads SendGrid's Email Activity and webhooks. The lists of suppressions do not say for which mail an address
// is there, and are not read.
type feedback struct {
	listener *events.Listener
	reader   *events.Reader
	logDelay time.Duration
}

func newFeedback(s *provider, l *events.Listener, logDelay time.Duration) *feedback {
	return &feedback{l, &events.Reader{Client: s.client, Problem: problemOf, Rules: rules, Denied: []int{403},
		Scope: upstream.ScopeError{Scope: "messages.read", Hint: "Email Activity is an add-on of the account: with it, grant the key the permission Email Activity; without it, use a webhook"}}, logDelay}
}

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening { return f.listener.Listening() }

// told is an event of a webhook, https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
type told struct {
	Event   events.Text `json:"event"`
	Email   events.Text `json:"email"`
	Time    events.Text `json:"timestamp"`
	ID      events.Text `json:"sg_message_id"`
	Type    events.Text `json:"type"`
	Reason  events.Text `json:"reason"`
	Answer  events.Text `json:"response"`
	Status  events.Text `json:"status"`
	QueueID events.Text `json:"mailhatch_id"` // a custom argument, beside the others
}

// silent are events that say nothing of what became of a mail.
var silent = map[string]bool{"processed": true, "group_resubscribe": true, "account_status_change": true}

// kindOf returns what an event means; sort is "blocked" for a bounce that is not about the address.
func kindOf(name, sort, reason string) upstream.EventKind {
	switch name {
	case "delivered":
		return upstream.Delivered
	case "deferred":
		return upstream.Deferred
	case "bounce":
		if sort == "blocked" {
			return upstream.Failed
		}
		return upstream.Bounced
	case "dropped":
		for _, word := range []string{"bounced address", "unsubscribed address", "spam reporting address", "suppress"} {
			if strings.Contains(strings.ToLower(reason), word) {
				return upstream.Suppressed
			}
		}
		return upstream.Failed
	case "spamreport":
		return upstream.Complained
	case "unsubscribe", "group_unsubscribe":
		return upstream.Unsubscribed
	case "open":
		return upstream.Opened
	case "click":
		return upstream.Clicked
	}
	return 0
}

// add puts an event into a page. The webhook's own ids are not those of Email Activity: keys are made of what both have.
func add(page *events.Page, e upstream.Event) {
	e.ProviderID, _, _ = strings.Cut(e.ProviderID, ".") // X-Message-Id is what stands before the first dot
	if e.ProviderID != "" && !e.At.IsZero() {
		e.Key = upstream.EventKey(e.ProviderID, strings.ToLower(e.Recipient), e.Kind.String(), strconv.FormatInt(e.At.Unix(), 10))
	}
	page.Add(e)
}

func (t *told) read(page *events.Page) {
	kind := kindOf(string(t.Event), string(t.Type), string(t.Reason))
	if kind == 0 {
		if !silent[string(t.Event)] {
			page.Skip("an event %q", t.Event)
		}
		return
	}
	add(page, upstream.Event{Kind: kind, ProviderID: string(t.ID), QueueID: string(t.QueueID), Recipient: string(t.Email), At: events.Moment(t.Time),
		Words: string(cmp.Or(t.Reason, t.Answer)), Status: string(t.Status)})
}

// Receive reads a webhook: a list of events, signed by ECDSA over the time and the body,
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
func (f *feedback) Receive(_ context.Context, h http.Header, body []byte) (upstream.Batch, error) {
	now := time.Now()
	stamp := h.Get("X-Twilio-Email-Event-Webhook-Timestamp")
	der, err1 := base64.StdEncoding.DecodeString(f.listener.Secret())
	signature, err2 := base64.StdEncoding.DecodeString(h.Get("X-Twilio-Email-Event-Webhook-Signature"))
	key, err3 := x509.ParsePKIXPublicKey(der)
	public, ok := key.(*ecdsa.PublicKey)
	if err1 != nil || err2 != nil || err3 != nil || !ok || !events.IsFresh(stamp, now, events.WholeDay) {
		return upstream.Batch{}, upstream.ErrSignature
	}
	hash := sha256.New()
	hash.Write([]byte(stamp))
	hash.Write(body)
	if !ecdsa.VerifyASN1(public, hash.Sum(nil), signature) {
		return upstream.Batch{}, upstream.ErrSignature
	}
	return events.ReadWebhook(body, (*told).read)
}

const (
	logKept  = 7 * 24 * time.Hour
	logLimit = 1000 // messages of one answer; there is no next page
	maxAsked = 20   // messages of a page of ours that are asked about one by one
	leastGap = 10 * time.Second
)

// message is one of Email Activity, https://www.twilio.com/docs/sendgrid/api-reference/email-activity
type message struct {
	ID     events.Text `json:"msg_id"`
	To     events.Text `json:"to_email"`
	Status events.Text `json:"status"`
	Last   events.Text `json:"last_event_time"`
}

// Poll asks for messages by the time of their last event. A stretch with more of them than an answer holds, or than are
// asked about at once, is halved; the shortest is asked about in several polls.
func (f *feedback) Poll(ctx context.Context, ask upstream.Ask) (upstream.Batch, error) {
	now := time.Now()
	s := events.Begin(ask, now, logKept)
	from, to, done := stretch(s)
	var got struct{ Messages []message }
	if err := f.reader.Read(ctx, events.Get("/v3/messages", "limit", strconv.Itoa(logLimit), "query", between(from, to)), &got); err != nil {
		return upstream.Batch{}, err
	}
	page := events.NewPage(now)
	var asked []message
	for _, m := range got.Messages {
		switch at := events.Moment(m.Last); {
		case m.Status == "not_delivered":
			asked = append(asked, m)
		case m.Status == "delivered" && !at.IsZero():
			add(page, upstream.Event{Kind: upstream.Delivered, ProviderID: string(m.ID), Recipient: string(m.To), At: at})
		case m.Status != "processed" && m.Status != "processing":
			page.Skip("a message that is %q", m.Status)
		}
	}
	if (len(got.Messages) >= logLimit || len(asked) > maxAsked) && to.Sub(from) > leastGap {
		half := from.Add(to.Sub(from) / 2)
		return upstream.Batch{Next: s.Next(span(from, half)), More: true}, nil
	}
	slices.SortFunc(asked, func(a, b message) int { return strings.Compare(string(a.ID), string(b.ID)) })
	asked = asked[min(done, len(asked)):]
	next := ""
	switch {
	case len(asked) > maxAsked:
		asked = asked[:maxAsked]
		next = span(from, to) + "/" + strconv.Itoa(done+maxAsked)
	case to.Before(s.To.Truncate(time.Second)):
		next = span(to, s.To)
	}
	for _, m := range asked {
		if err := f.ask(ctx, page, &m); err != nil {
			return upstream.Batch{}, err
		}
	}
	page.Next, page.More = s.Next(next), next != ""
	return page.Batch, nil
}

// between asks for messages by the time of their last event.
func between(from, to time.Time) string {
	return fmt.Sprintf(`last_event_time BETWEEN TIMESTAMP "%s" AND TIMESTAMP "%s"`, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
}

// stretch is the part of a sweep that a page names, and how many of its messages were asked about; the whole without one.
func stretch(s events.Sweep) (from, to time.Time, done int) {
	a, rest, _ := strings.Cut(s.Page, "/")
	b, count, _ := strings.Cut(rest, "/")
	from, err1 := time.Parse(time.RFC3339, a)
	to, err2 := time.Parse(time.RFC3339, b)
	if err1 != nil || err2 != nil || !to.After(from) {
		return s.From, s.To, 0
	}
	if done, err1 = strconv.Atoi(count); err1 != nil || done < 0 {
		done = 0
	}
	return from, to, done
}

func span(from, to time.Time) string {
	return from.UTC().Format(time.RFC3339) + "/" + to.UTC().Format(time.RFC3339)
}

// ask reads the events of one message that was not delivered.
func (f *feedback) ask(ctx context.Context, page *events.Page, m *message) error {
	var got struct {
		Args   events.Fields `json:"unique_args"`
		Events []struct {
			Name   events.Text `json:"event_name"`
			Time   events.Text `json:"processed"`
			Reason events.Text `json:"reason"`
			Bounce events.Text `json:"bounce_type"`
			MX     events.Text `json:"mx_server"`
		}
	}
	if err := f.reader.Read(ctx, events.Get("/v3/messages/"+url.PathEscape(string(m.ID))), &got); err != nil {
		if events.IsMissing(err) {
			page.Skip("a message that is gone")
			return nil
		}
		return err
	}
	for _, e := range got.Events {
		kind := kindOf(string(e.Name), string(e.Bounce), string(e.Reason))
		if kind == 0 {
			continue
		}
		add(page, upstream.Event{Kind: kind, ProviderID: string(m.ID), QueueID: got.Args[api.IDName], Recipient: string(m.To), At: events.Moment(e.Time), Words: string(e.Reason), RemoteMTA: string(e.MX)})
	}
	return nil
}

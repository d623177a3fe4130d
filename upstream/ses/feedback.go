package ses

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// ways: events come by SNS, which calls, or puts them into a queue of SQS that is asked.
var ways = events.Ways{Tells: upstream.Tells{Poll: true, Webhook: true, Signed: true}, Pace: 200 * time.Millisecond}

// feedback reads what SES publishes by a configuration set, or the notifications of an identity.
type feedback struct {
	listener     *events.Listener
	queue        string      // URL of SQS; "": none
	sqs          *api.Client // signs for SQS
	plain        *api.Client // signs nothing
	base         string      // in place of SNS's own addresses; "": those
	certificates certificates
}

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening { return f.listener.Listening() }

// person is a recipient of a notification.
type person struct {
	Address events.Text `json:"emailAddress"`
	Status  events.Text `json:"status"`
	Words   events.Text `json:"diagnosticCode"`
}

// notification is what SES publishes, https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
type notification struct {
	Event events.Text `json:"eventType"`
	Type  events.Text `json:"notificationType"` // of identities
	Mail  struct {
		ID          events.Text             `json:"messageId"`
		Destination events.Texts            `json:"destination"`
		Time        events.Text             `json:"timestamp"`
		Tags        map[string]events.Texts `json:"tags"`
	} `json:"mail"`
	Bounce struct {
		Type       events.Text `json:"bounceType"`
		SubType    events.Text `json:"bounceSubType"`
		Recipients []person    `json:"bouncedRecipients"`
		Time       events.Text `json:"timestamp"`
		ID         events.Text `json:"feedbackId"`
		MTA        events.Text `json:"reportingMTA"`
	} `json:"bounce"`
	Complaint struct {
		Recipients []person    `json:"complainedRecipients"`
		Time       events.Text `json:"timestamp"`
		ID         events.Text `json:"feedbackId"`
		Feedback   events.Text `json:"complaintFeedbackType"`
		SubType    events.Text `json:"complaintSubType"`
	} `json:"complaint"`
	Delivery struct {
		Recipients events.Texts `json:"recipients"`
		Time       events.Text  `json:"timestamp"`
		Response   events.Text  `json:"smtpResponse"`
		MTA        events.Text  `json:"remoteMtaIp"`
	} `json:"delivery"`
	Reject struct {
		Reason events.Text `json:"reason"`
	} `json:"reject"`
	Failure struct {
		Message events.Text `json:"errorMessage"`
	} `json:"failure"`
	Delay struct {
		Type       events.Text `json:"delayType"`
		Recipients []person    `json:"delayedRecipients"`
		Time       events.Text `json:"timestamp"`
	} `json:"deliveryDelay"`
	Subscription struct {
		Time events.Text `json:"timestamp"`
	} `json:"subscription"`
	Open, Click struct {
		Time events.Text `json:"timestamp"`
	}
}

// tell is what a notification reports of some recipients.
type tell struct {
	kind   upstream.EventKind
	people []person
	at     events.Text
	words  events.Text // where a recipient has none
	mta    events.Text
}

func named(addresses events.Texts) []person {
	list := make([]person, len(addresses))
	for i, a := range addresses {
		list[i].Address = events.Text(a)
	}
	return list
}

// tells reads the one part that its type names; known is false for a type that this version does not know.
func (n *notification) tells() (t tell, known bool) {
	all := named(n.Mail.Destination)
	switch cmp.Or(n.Event, n.Type) {
	case "Delivery":
		return tell{upstream.Delivered, named(n.Delivery.Recipients), n.Delivery.Time, n.Delivery.Response, n.Delivery.MTA}, true
	case "Bounce":
		b := &n.Bounce
		t := tell{upstream.SoftBounced, b.Recipients, b.Time, b.Type + " " + b.SubType, b.MTA}
		switch {
		case strings.HasPrefix(string(b.SubType), "Suppressed") || b.SubType == "OnAccountSuppressionList":
			t.kind = upstream.Suppressed
		case b.Type == "Permanent":
			t.kind = upstream.Bounced
		}
		return t, true
	case "Complaint":
		t := tell{upstream.Complained, n.Complaint.Recipients, n.Complaint.Time, n.Complaint.Feedback, ""}
		if n.Complaint.SubType == "OnAccountSuppressionList" {
			t.kind = upstream.Suppressed
		}
		return t, true
	case "DeliveryDelay":
		return tell{upstream.Deferred, n.Delay.Recipients, n.Delay.Time, n.Delay.Type, ""}, true
	case "Reject":
		return tell{upstream.Failed, all, n.Mail.Time, n.Reject.Reason, ""}, true
	case "Rendering Failure":
		return tell{upstream.Failed, all, n.Mail.Time, n.Failure.Message, ""}, true
	case "Subscription":
		return tell{upstream.Unsubscribed, all, n.Subscription.Time, "", ""}, true
	case "Open":
		return tell{upstream.Opened, all, n.Open.Time, "", ""}, true
	case "Click":
		return tell{upstream.Clicked, all, n.Click.Time, "", ""}, true
	}
	return tell{}, n.Event == "Send" || n.Type == "AmazonSnsSubscriptionSucceeded"
}

// readNotification adds what SES reports to a page; false: it is not a notification of SES. id is that of the message of SNS.
func readNotification(page *events.Page, message, id string) bool {
	var n notification
	if json.Unmarshal([]byte(message), &n) != nil {
		if strings.HasPrefix(message, "Successfully validated SNS topic") {
			return true // a greeting
		}
		page.Skip("a notification that cannot be read")
		return false
	}
	t, known := n.tells()
	if !known {
		page.Skip("a notification of type %q", cmp.Or(n.Event, n.Type))
		return true
	}
	queueID := ""
	if tags := n.Mail.Tags[api.IDName]; len(tags) == 1 {
		queueID = tags[0]
	}
	for _, p := range t.people {
		e := upstream.Event{Kind: t.kind, ProviderID: string(n.Mail.ID), QueueID: queueID, Recipient: string(p.Address), At: events.Moment(t.at), Words: string(cmp.Or(p.Words, t.words)), Status: string(p.Status)}
		if _, host, ok := strings.Cut(string(t.mta), ";"); ok {
			e.RemoteMTA = strings.TrimSpace(host)
		} else {
			e.RemoteMTA = string(t.mta)
		}
		// Both ways have the same time; of SNS's ids each way has its own.
		e.Key = upstream.EventKey(e.ProviderID, strings.ToLower(e.Recipient), t.kind.String(), string(cmp.Or(t.at, events.Text(id))))
		page.Add(e)
	}
	return true
}

// nobody are credentials for what everyone may read.
type nobody struct{}

func (nobody) Check(string) error { return nil }
func (nobody) Fields() []string   { return nil }
func (nobody) Secrets() []string  { return nil }

// Authorize has nothing to set.
func (nobody) Authorize(context.Context, *http.Request, api.Payload) *upstream.Error { return nil }

var errNoQueue = errors.New("the config has no events_queue")

// listen checks the settings of later events.
func (s *settings) listen(env upstream.Env) (*events.Listener, error) {
	listener, err := s.Events.Open(env, ways)
	switch {
	case s.EventsQueue != "" && sqsHost(s.EventsQueue) == "":
		err = errors.Join(err, &upstream.KeyError{Key: "events_queue", Problem: "must be the address of a queue of SQS", Hint: `"https://sqs.eu-west-1.amazonaws.com/123456789012/mail-events"`})
	case s.EventsQueue == "" && listener != nil && listener.Listening().Every > 0:
		err = errors.Join(err, &upstream.KeyError{Key: "events_queue", Problem: "is missing: polling asks a queue of SQS", Hint: "doc/feedback.md shows how SES fills it"})
	}
	return listener, err
}

// feedback opens what reads later events, of settings that were found good.
func (s *settings) feedback(env upstream.Env, signer *signer, listener *events.Listener) (*feedback, error) {
	f := &feedback{listener: listener, queue: s.EventsQueue, base: s.BaseURL, certificates: certificates{keys: map[string]*rsa.PublicKey{}}}
	common := s.Settings
	common.BaseURL = cmp.Or(sqsHost(s.EventsQueue), "https://sqs.amazonaws.com")
	service := api.Service{KeyHint: "the access key, or the role, needs sqs:ReceiveMessage and sqs:DeleteMessage"}
	var sqsErr, plainErr error
	f.sqs, sqsErr = api.Open(env, common, service, signer.of("sqs"))
	f.plain, plainErr = api.Open(env, common, service, nobody{})
	return f, errors.Join(sqsErr, plainErr)
}

package sendgrid

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// traceDelay is far above what Email Activity needs to show a message, for which its documentation names no time.
const traceDelay = 15 * time.Minute

const (
	traceMost  = 10 // recipients of a mail that is asked about, one by one
	tracePages = 20 // messages to one recipient that are looked at
)

// TraceDelay returns how long after an offer Email Activity has it.
func (f *feedback) TraceDelay() time.Duration { return f.logDelay }

// Trace looks at the messages to each recipient since then for one with the queue id among its arguments,
// https://www.twilio.com/docs/sendgrid/for-developers/sending-email/getting-started-email-activity-api
func (f *feedback) Trace(ctx context.Context, m *upstream.Mail, since time.Time) ([]upstream.Traced, error) {
	return events.TraceEach(m, traceMost, "Email Activity", func(recipient string) (upstream.Traced, error) {
		return f.traceOne(ctx, m.ID, recipient, since)
	})
}

func (f *feedback) traceOne(ctx context.Context, id, recipient string, since time.Time) (t upstream.Traced, err error) {
	if strings.ContainsAny(recipient, `"\`) {
		return t, api.Errorf(upstream.Unrepresentable, "", "Email Activity cannot be asked about a recipient with quotes")
	}
	query := fmt.Sprintf(`to_email="%s" AND %s`, recipient, between(since, time.Now().Add(time.Minute)))
	var got struct{ Messages []message }
	if err := f.reader.Read(ctx, events.Get("/v3/messages", "limit", strconv.Itoa(tracePages+1), "query", query), &got); err != nil {
		return t, err
	}
	for i, m := range got.Messages {
		if i == tracePages {
			return t, api.Errorf(upstream.Unrepresentable, "", "Email Activity has too much of %s to find the mail", recipient)
		}
		var one struct {
			Args events.Fields `json:"unique_args"`
		}
		err := f.reader.Read(ctx, events.Get("/v3/messages/"+url.PathEscape(string(m.ID))), &one)
		if err != nil && !events.IsMissing(err) {
			return t, err
		}
		if one.Args[api.IDName] == id {
			t.Found = true
			t.ID, _, _ = strings.Cut(string(m.ID), ".") // as X-Message-Id has it
			return t, nil
		}
	}
	return t, nil
}

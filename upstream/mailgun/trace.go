package mailgun

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// traceDelay is the age from which Mailgun calls its events trustworthy,
// https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-polling
const traceDelay = 30 * time.Minute

// maxTraced is how many recipients are asked about, one by one.
const maxTraced = 20

// TraceDelay returns how long after an offer the log has it.
func (f *feedback) TraceDelay() time.Duration { return f.logDelay }

// Trace looks for the mail by the queue id among its variables; Message-ID may be the same for several mails.
func (f *feedback) Trace(ctx context.Context, m *upstream.Mail, since time.Time) ([]upstream.Traced, error) {
	return events.TraceEach(m, maxTraced, "the log", func(recipient string) (upstream.Traced, error) {
		return f.traceOne(ctx, m.ID, recipient, since)
	})
}

// tracePages is how many pages of one recipient's events are read.
const tracePages = 10

func (f *feedback) traceOne(ctx context.Context, id, recipient string, since time.Time) (upstream.Traced, error) {
	now, token := time.Now(), ""
	for range tracePages {
		got, err := f.ask(ctx, f.question(since, now.Add(time.Minute), []string{"accepted", "rejected", "delivered", "failed"}, recipient, token))
		if err != nil {
			return upstream.Traced{}, err
		}
		for _, item := range got.Items {
			var l logged
			if json.Unmarshal(item, &l) == nil && l.Variables[api.IDName] == id && strings.EqualFold(string(l.Recipient), recipient) && l.Message.Headers.ID != "" {
				return upstream.Traced{Found: true, ID: "<" + strings.Trim(string(l.Message.Headers.ID), "<>") + ">"}, nil
			}
		}
		if token = got.Pagination.Next; len(got.Items) == 0 || token == "" {
			return upstream.Traced{}, nil
		}
	}
	return upstream.Traced{}, api.Errorf(upstream.Unrepresentable, "", "the log has too much of %s to find the mail", recipient)
}

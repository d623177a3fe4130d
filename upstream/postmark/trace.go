package postmark

import (
	"context"
	"strconv"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// traceDelay is far above what Postmark needs to list a message that it took, for which its documentation names no time.
const traceDelay = 5 * time.Minute

// TraceDelay returns how long after an offer the list has it.
func (f *feedback) TraceDelay() time.Duration { return f.logDelay }

// Trace searches messages by the queue id in their metadata, https://postmarkapp.com/developer/api/messages-api
func (f *feedback) Trace(ctx context.Context, m *upstream.Mail, since time.Time) ([]upstream.Traced, error) {
	var got struct {
		TotalCount int
		Messages   []struct {
			MessageID  string
			Recipients []string
			Metadata   map[string]string
		}
	}
	if err := f.reader.Read(ctx, events.Get("/messages/outbound", "count", strconv.Itoa(logPage), "offset", "0", "metadata_"+api.IDName, m.ID,
		"messagestream", f.provider.stream, "fromdate", eastern(since, 5)), &got); err != nil {
		return nil, err
	}
	if got.TotalCount > len(got.Messages) {
		return nil, api.Errorf(upstream.Unrepresentable, "", "Postmark has %d messages of this id; %d are looked at", got.TotalCount, len(got.Messages))
	}
	traces := events.Traces{}
	for _, msg := range got.Messages {
		if id, ok := msg.Metadata[api.IDName]; ok && id != m.ID {
			continue
		}
		for _, rcpt := range msg.Recipients {
			traces.Add(rcpt, msg.MessageID)
		}
	}
	return traces.Of(m), nil
}

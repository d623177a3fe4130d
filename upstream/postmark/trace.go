package postmark

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// traceDelay is far above what Postmark needs to list a message that it took, for which its documentation names no time.
const traceDelay = 5 * time.Minute

// TraceDelay returns how long after an offer the list has it.
func (f *feedback) TraceDelay() time.Duration { return traceDelay }

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
	query := url.Values{"count": {strconv.Itoa(logPage)}, "offset": {"0"}, "metadata_" + api.IDName: {m.ID}, "fromdate": {eastern(since, 5)}}
	if f.provider.stream != "" {
		query.Set("messagestream", f.provider.stream)
	}
	if err := f.reader.Read(ctx, &api.Request{Method: "GET", Path: "/messages/outbound?" + query.Encode(), Header: []string{"Accept", "application/json"}}, &got); err != nil {
		return nil, err
	}
	if got.TotalCount > len(got.Messages) {
		return nil, api.Errorf(upstream.Unrepresentable, "", "Postmark has %d messages of this id; %d are looked at", got.TotalCount, len(got.Messages))
	}
	ids := map[string]string{}
	for _, msg := range got.Messages {
		if id, ok := msg.Metadata[api.IDName]; ok && id != m.ID {
			continue
		}
		for _, rcpt := range msg.Recipients {
			ids[strings.ToLower(rcpt)] = msg.MessageID
		}
	}
	found := make([]upstream.Traced, len(m.To))
	for i, rcpt := range m.To {
		id, ok := ids[strings.ToLower(rcpt.Address)]
		found[i] = upstream.Traced{Found: ok, ID: id}
	}
	return found, nil
}

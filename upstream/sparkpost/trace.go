package sparkpost

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// traceDelay is far above what SparkPost needs to show an event, for which its documentation names no time.
const traceDelay = 10 * time.Minute

const (
	traceStep  = 20  // recipients of one question: its address has 4096 characters at most
	traceMost  = 200 // recipients of a mail that is asked about
	tracePages = 10  // of one question
)

// TraceDelay returns how long after an offer the events have it.
func (f *feedback) TraceDelay() time.Duration { return f.logDelay }

// Trace looks for the queue id in the metadata of what was sent to the recipients: an injection is an event too.
func (f *feedback) Trace(ctx context.Context, m *upstream.Mail, since time.Time) ([]upstream.Traced, error) {
	if len(m.To) > traceMost {
		return nil, api.Errorf(upstream.Unrepresentable, "", "the log is not asked about more than %d recipients of a mail", traceMost)
	}
	traces := events.Traces{}
	for to := range slices.Chunk(m.To, traceStep) {
		list := make([]string, len(to))
		for i, rcpt := range to {
			list[i] = rcpt.Address
		}
		const delimiter = ";" // as the documents have it; commas are in more addresses
		q := f.search(since, time.Now(), append([]string{"injection"}, wanted...), "recipients", strings.Join(list, delimiter), "delimiter", delimiter)
		for page := 1; q != nil; page++ {
			if page > tracePages {
				return nil, api.Errorf(upstream.Unrepresentable, "", "the log has too much of the recipients to find the mail")
			}
			got, err := f.page(ctx, q)
			if err != nil {
				return nil, err
			}
			for _, raw := range got.Results {
				var r record
				if json.Unmarshal(raw, &r) == nil && r.Meta[api.IDName] == m.ID {
					traces.Add(string(r.Recipient), string(r.Mail))
					traces.Add(string(r.Raw), string(r.Mail))
				}
			}
			if q = nil; got.next() != "" {
				q = events.Get(got.next())
			}
		}
	}
	return traces.Of(m), nil
}

package telling

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// JMAP reports by the delivery status of submissions (RFC 8621 7).
type JMAP struct{}

// Ask serves EmailSubmission/query with EmailSubmission/get.
func (JMAP) Ask(_ *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer {
	if r.Method != http.MethodPost || !bytes.Contains(body, []byte(`"EmailSubmission/query"`)) {
		return nil
	}
	bad := func() *upstreamtest.Answer {
		return answer(200, map[string]any{"methodResponses": []any{[]any{"error", map[string]string{"type": "invalidArguments"}, "query"}}, "sessionState": "1"})
	}
	var q struct {
		Using       []string
		MethodCalls [][3]json.RawMessage
	}
	var query struct {
		AccountID       string
		Filter          struct{ After time.Time }
		Sort            []struct{ Property string }
		Position, Limit int
	}
	if json.Unmarshal(body, &q) != nil || len(q.MethodCalls) != 2 || json.Unmarshal(q.MethodCalls[0][1], &query) != nil || query.Limit < 1 || len(query.Sort) != 1 || query.Sort[0].Property != "sentAt" ||
		!bytes.Contains(q.MethodCalls[1][1], []byte(`"resultOf":"query"`)) {
		return bad()
	}
	slices.SortStableFunc(seen, func(a, b Entry) int { return b.At.Compare(a.At) })
	list, ids := []any{}, []string{}
	for i := range seen {
		e := &seen[i]
		delivered := map[upstream.EventKind]string{upstream.Delivered: "yes", upstream.Bounced: "no"}[e.Kind]
		if delivered == "" {
			delivered = "queued"
		}
		if e.At.Before(query.Filter.After) {
			continue
		}
		ids = append(ids, e.Mail)
		list = append(list, map[string]any{"id": e.Mail, "deliveryStatus": map[string]any{e.Recipient: map[string]string{"smtpReply": e.Words, "delivered": delivered, "displayed": "unknown"}}})
	}
	list = list[min(query.Position, len(list)):]
	list = list[:min(query.Limit, len(list))]
	return answer(200, map[string]any{"sessionState": "1", "methodResponses": []any{
		[]any{"EmailSubmission/query", map[string]any{"accountId": query.AccountID, "queryState": "1", "ids": ids, "position": query.Position}, "query"},
		[]any{"EmailSubmission/get", map[string]any{"accountId": query.AccountID, "state": "1", "list": list, "notFound": []string{}}, "get"}}})
}

// Body and Sign: there are no webhooks.
func (JMAP) Body([]Entry) []byte { return nil }

// Sign adds nothing.
func (JMAP) Sign(_ string, _ time.Time, body []byte) (http.Header, []byte) {
	return http.Header{}, body
}

// Taken is never asked.
func (JMAP) Taken(int) bool { return true }

// Retries are none.
func (JMAP) Retries() []time.Duration { return nil }

// Read finds nothing.
func (JMAP) Read(*upstreamtest.Message, *Entry) {}

package telling

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// JMAP reports by the delivery status of submissions (RFC 8621 7).
type JMAP struct{}

// Ask serves EmailSubmission/query with EmailSubmission/get.
func (JMAP) Ask(_ *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer {
	switch {
	case r.Method != http.MethodPost:
		return nil
	case bytes.Contains(body, []byte(`"Email/query"`)):
		return emails(body, seen)
	case !bytes.Contains(body, []byte(`"EmailSubmission/query"`)):
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
	if json.Unmarshal(body, &q) != nil || len(q.MethodCalls) < 2 || json.Unmarshal(q.MethodCalls[0][1], &query) != nil || query.Limit < 1 || len(query.Sort) != 1 || query.Sort[0].Property != "sentAt" ||
		!bytes.Contains(q.MethodCalls[1][1], []byte(`"resultOf":"query"`)) {
		return bad()
	}
	slices.SortStableFunc(seen, func(a, b Entry) int { return b.At.Compare(a.At) })
	list, messages, ids := []any{}, []any{}, []string{}
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
		messages = append(messages, map[string]any{"id": "email-" + e.Mail, "messageId": []string{e.MessageID}})
		list = append(list, map[string]any{"id": e.Mail, "emailId": "email-" + e.Mail, "envelope": map[string]any{"rcptTo": []map[string]string{{"email": e.Recipient}}}, "deliveryStatus": map[string]any{e.Recipient: map[string]string{"smtpReply": e.Words, "delivered": delivered, "displayed": "unknown"}}})
	}
	from, to := min(query.Position, len(list)), min(query.Position+query.Limit, len(list))
	list, messages = list[from:to], messages[from:to]
	return answer(200, map[string]any{"sessionState": "1", "methodResponses": []any{
		[]any{"EmailSubmission/query", map[string]any{"accountId": query.AccountID, "queryState": "1", "ids": ids, "position": query.Position}, "query"},
		[]any{"EmailSubmission/get", map[string]any{"accountId": query.AccountID, "state": "1", "list": list, "notFound": []string{}}, "get"},
		[]any{"Email/get", map[string]any{"accountId": query.AccountID, "state": "1", "list": messages, "notFound": []string{}}, "emails"}}})
}

// emails finds emails by a field of their header (RFC 8621 4.4.1); none of them is a draft.
func emails(body []byte, seen []Entry) *upstreamtest.Answer {
	var q struct{ MethodCalls [][3]json.RawMessage }
	var query struct {
		Filter struct{ Header []string }
	}
	if json.Unmarshal(body, &q) != nil || len(q.MethodCalls) != 2 || json.Unmarshal(q.MethodCalls[0][1], &query) != nil || len(query.Filter.Header) != 2 || query.Filter.Header[0] != "Message-ID" {
		return answer(200, map[string]any{"methodResponses": []any{[]any{"error", map[string]string{"type": "unsupportedFilter"}, "query"}}, "sessionState": "1"})
	}
	list := []any{}
	for i := range seen {
		if strings.Contains(seen[i].MessageID, query.Filter.Header[1]) {
			list = append(list, map[string]any{"id": "email-" + seen[i].Mail, "messageId": []string{seen[i].MessageID}, "keywords": map[string]bool{"$seen": true}})
		}
	}
	return answer(200, map[string]any{"sessionState": "1", "methodResponses": []any{
		[]any{"Email/query", map[string]any{"queryState": "1", "ids": []string{}, "position": 0}, "query"},
		[]any{"Email/get", map[string]any{"state": "1", "list": list, "notFound": []string{}}, "get"}}})
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

// Read finds Message-ID.
func (JMAP) Read(m *upstreamtest.Message, e *Entry) { e.MessageID = messageID(m.Raw) }

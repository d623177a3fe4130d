package telling

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// Mailgun reports as Mailgun does,
// https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads
type Mailgun struct{ Domain string }

func (d Mailgun) event(e *Entry, log bool) map[string]any {
	names := map[upstream.EventKind]string{0: "accepted", upstream.Delivered: "delivered", upstream.Deferred: "failed", upstream.Bounced: "failed",
		upstream.SoftBounced: "failed", upstream.Suppressed: "failed", upstream.Failed: "rejected", upstream.Complained: "complained",
		upstream.Unsubscribed: "unsubscribed", upstream.Opened: "opened", upstream.Clicked: "clicked"}
	name := names[e.Kind]
	if e.Name != "" {
		name = e.Name
	}
	id := e.Mail
	if e.MessageID != "" {
		id = e.MessageID
	}
	m := map[string]any{"id": e.ID, "event": name, "recipient": e.Recipient, "log-level": "info", "account": map[string]string{"id": "1"},
		"domain": map[string]string{"name": d.Domain}, "message": map[string]any{"headers": map[string]string{"message-id": id}}}
	variables := map[string]string{"mailhatch_id": e.QueueID}
	if log {
		m["@timestamp"] = e.At.UTC().Format("2006-01-02T15:04:05.000Z")
		m["user-variables"] = upstreamtest.JSON(variables)
	} else {
		m["timestamp"] = float64(e.At.UnixMilli()) / 1000
		m["user-variables"] = variables
	}
	switch e.Kind {
	case upstream.Deferred:
		m["severity"], m["reason"] = "temporary", "generic"
	case upstream.Bounced:
		m["severity"], m["reason"] = "permanent", "bounce"
	case upstream.Suppressed:
		m["severity"], m["reason"] = "permanent", "suppress-bounce"
	case upstream.Failed:
		m["reject"] = map[string]string{"reason": e.Words}
		return m
	}
	m["delivery-status"] = map[string]any{"code": 550, "message": e.Words, "enhanced-code": e.Status, "mx-host": "mx.example.org", "attempt-no": 1}
	return m
}

type mailgunQuestion struct {
	Start, End string
	Events     []string
	Filter     struct {
		And []struct {
			Attribute, Comparator string
			Values                []struct{ Label, Value string }
		} `json:"AND"`
	}
	Pagination struct {
		Sort, Token string
		Limit       int
	}
}

// Ask serves the log, the domain's webhooks and the signing key.
func (d Mailgun) Ask(l *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer {
	switch {
	case r.URL.Path == "/v1/analytics/logs" && r.Method == http.MethodPost:
		return d.log(body, seen)
	case r.URL.Path == "/v3/domains/"+d.Domain+"/webhooks" && r.Method == http.MethodGet:
		hooks := map[string]any{}
		for name, urls := range l.hooks {
			hooks[name] = map[string]any{"urls": urls}
		}
		return answer(200, map[string]any{"webhooks": hooks})
	case r.URL.Path == "/v4/domains/"+d.Domain+"/webhooks" && r.Method == http.MethodPost:
		form, err := url.ParseQuery(string(body))
		if err != nil || len(form["url"]) != 1 || len(form["event_types"]) == 0 || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			return answer(400, map[string]string{"message": "url and event_types are needed"})
		}
		for _, name := range form["event_types"] {
			l.AddHook(name, form.Get("url"))
		}
		return answer(200, map[string]any{})
	case r.URL.Path == "/v5/accounts/http_signing_key" && r.Method == http.MethodGet:
		return answer(200, map[string]string{"http_signing_key": l.Secret})
	}
	return nil
}

func (d Mailgun) log(body []byte, seen []Entry) *upstreamtest.Answer {
	var q mailgunQuestion
	bad := func(format string, args ...any) *upstreamtest.Answer {
		return answer(400, map[string]string{"message": fmt.Sprintf(format, args...)})
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return bad("invalid request: %v", err)
	}
	from, err1 := time.Parse(time.RFC1123Z, q.Start)
	to, err2 := time.Parse(time.RFC1123Z, q.End)
	at := 0
	if q.Pagination.Token != "" {
		at, _ = strconv.Atoi(strings.TrimPrefix(q.Pagination.Token, "page-"))
	}
	switch {
	case err1 != nil || err2 != nil || to.Before(from):
		return bad("start and end must be times of RFC 2822")
	case q.Pagination.Limit < 1 || q.Pagination.Limit > 100 || q.Pagination.Sort != "timestamp:asc":
		return bad("invalid pagination")
	}
	wanted := map[string]string{}
	for _, f := range q.Filter.And {
		if f.Comparator != "=" || len(f.Values) != 1 || f.Attribute != "domain" && f.Attribute != "recipient" {
			return bad("invalid filter")
		}
		wanted[f.Attribute] = f.Values[0].Value
	}
	var items []map[string]any
	slices.SortStableFunc(seen, func(a, b Entry) int { return a.At.Compare(b.At) })
	for i := range seen {
		e := &seen[i]
		if wanted["domain"] != d.Domain || wanted["recipient"] != "" && wanted["recipient"] != e.Recipient || e.At.Before(from) || e.At.After(to) {
			continue
		}
		if item := d.event(e, true); slices.Contains(q.Events, item["event"].(string)) {
			items = append(items, item)
		}
	}
	total := len(items)
	items = items[min(at, total):]
	items = items[:min(len(items), q.Pagination.Limit)]
	pages := map[string]any{"total": total, "next": "page-" + strconv.Itoa(at+len(items))}
	return answer(200, map[string]any{"start": q.Start, "end": q.End, "items": append([]map[string]any{}, items...), "pagination": pages, "aggregates": map[string]any{}})
}

// Body has one event.
func (d Mailgun) Body(entries []Entry) []byte {
	return []byte(upstreamtest.JSON(map[string]any{"event-data": d.event(&entries[0], false)}))
}

// Sign puts a signature beside the event, which it does not cover,
// https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
func (d Mailgun) Sign(secret string, at time.Time, body []byte) (http.Header, []byte) {
	var whole map[string]json.RawMessage
	if json.Unmarshal(body, &whole) != nil || whole == nil {
		whole = map[string]json.RawMessage{"event-data": body}
	}
	stamp, token := strconv.FormatInt(at.Unix(), 10), hex.EncodeToString(hmacSHA256([]byte("token"), body, []byte(at.String())))[:50]
	whole["signature"] = json.RawMessage(upstreamtest.JSON(map[string]string{"timestamp": stamp, "token": token,
		"signature": hex.EncodeToString(hmacSHA256([]byte(secret), []byte(stamp), []byte(token)))}))
	return http.Header{"Content-Type": {"application/json"}}, []byte(upstreamtest.JSON(whole))
}

// Taken: 200 is success, 406 is a refusal for good.
func (Mailgun) Taken(status int) bool { return status == 200 || status == 406 }

// Retries: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhooks (retries)
func (Mailgun) Retries() []time.Duration {
	return []time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
}

// Read finds v:mailhatch_id and Message-ID.
func (Mailgun) Read(m *upstreamtest.Message, e *Entry) {
	e.QueueID, e.MessageID = m.Options["v:mailhatch_id"], messageID(m.Raw)
}

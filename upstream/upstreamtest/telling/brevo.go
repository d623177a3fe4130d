package telling

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// Brevo reports as Brevo does, https://developers.brevo.com/reference/get-email-event-report and
// https://developers.brevo.com/docs/transactional-webhooks
type Brevo struct{}

// brevoNames are the word of the log and that of webhooks.
var brevoNames = map[upstream.EventKind][2]string{0: {"requests", "request"}, upstream.Delivered: {"delivered", "delivered"}, upstream.Deferred: {"deferred", "deferred"},
	upstream.Bounced: {"hardBounces", "hard_bounce"}, upstream.SoftBounced: {"softBounces", "soft_bounce"}, upstream.Complained: {"spam", "spam"},
	upstream.Suppressed: {"blocked", "blocked"}, upstream.Failed: {"error", "error"}, upstream.Unsubscribed: {"unsubscribed", "unsubscribed"},
	upstream.Opened: {"opened", "opened"}, upstream.Clicked: {"clicks", "click"}}

// Ask serves the log and the webhooks.
func (d Brevo) Ask(l *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer {
	switch {
	case r.URL.Path == "/v3/smtp/statistics/events" && r.Method == http.MethodGet:
		return d.log(r, seen)
	case strings.HasPrefix(r.URL.Path, "/v3/webhooks") && r.Method == http.MethodGet:
		list := []json.RawMessage{}
		for _, raw := range l.Hooks("brevo") {
			list = append(list, json.RawMessage(raw))
		}
		if len(list) == 0 {
			return answer(404, map[string]string{"code": "document_not_found", "message": "No webhooks"})
		}
		return answer(200, map[string]any{"webhooks": list})
	case strings.HasPrefix(r.URL.Path, "/v3/webhooks"):
		var h struct {
			URL, Type, Description string
			Events                 []string
			Auth                   struct{ Type, Token string }
		}
		if upstreamtest.DecodeStrict(body, &h) != nil || h.URL == "" || len(h.Events) == 0 || h.Auth.Type != "bearer" || h.Auth.Token == "" || r.Method == http.MethodPost && h.Type != "transactional" {
			return answer(400, map[string]string{"code": "invalid_parameter", "message": "url, events and type are needed"})
		}
		l.Secret = h.Auth.Token
		l.hooks["brevo"] = []string{upstreamtest.JSON(map[string]any{"id": 7, "url": h.URL, "events": h.Events})}
		return answer(201, map[string]any{"id": 7})
	}
	return nil
}

func (Brevo) log(r *http.Request, seen []Entry) *upstreamtest.Answer {
	query := r.URL.Query()
	limit, err1 := strconv.Atoi(query.Get("limit"))
	offset, err2 := strconv.Atoi(query.Get("offset"))
	days, err3 := strconv.Atoi(query.Get("days"))
	if err1 != nil || err2 != nil || err3 != nil || limit < 1 || limit > 5000 || days < 1 || days > 90 || query.Get("sort") != "desc" {
		return answer(400, map[string]string{"code": "out_of_range", "message": "limit, offset, days or sort is wrong"})
	}
	list := []map[string]any{}
	slices.SortStableFunc(seen, func(a, b Entry) int { return b.At.Compare(a.At) })
	for i := range seen {
		e := &seen[i]
		if tag := query.Get("tags"); tag != "" && tag != e.QueueID || e.At.Before(time.Now().AddDate(0, 0, -days)) {
			continue
		}
		name := brevoNames[e.Kind][0]
		if e.Name != "" {
			name = e.Name
		}
		list = append(list, map[string]any{"email": e.Recipient, "date": e.At.In(time.FixedZone("", 3600)).Format("2006-01-02T15:04:05.000-07:00"), "subject": "s",
			"messageId": e.Mail, "event": name, "reason": e.Words, "tag": e.QueueID, "from": "app@example.com", "templateId": 0})
	}
	list = list[min(offset, len(list)):]
	return answer(200, map[string]any{"events": list[:min(limit, len(list))]})
}

// Body has one event.
func (Brevo) Body(entries []Entry) []byte {
	e := &entries[0]
	name := brevoNames[e.Kind][1]
	if e.Name != "" {
		name = e.Name
	}
	return []byte(upstreamtest.JSON(map[string]any{"event": name, "email": e.Recipient, "id": 26224, "date": "2020-10-09 00:00:00", "ts": e.At.Unix(), "message-id": e.Mail,
		"ts_event": e.At.Unix(), "subject": "s", "tag": upstreamtest.JSON([]string{e.QueueID}), "tags": []string{e.QueueID}, "sending_ip": "192.0.2.1", "reason": e.Words, "ts_epoch": e.At.UnixMilli()}))
}

// Sign shows the token.
func (Brevo) Sign(secret string, _ time.Time, body []byte) (http.Header, []byte) {
	return http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + secret}}, body
}

// Taken reports success.
func (Brevo) Taken(status int) bool { return status >= 200 && status < 300 }

// Retries: https://help.brevo.com/hc/en-us/articles/27824932835474 (retries)
func (Brevo) Retries() []time.Duration {
	return []time.Duration{10 * time.Minute, time.Hour, 2 * time.Hour, 8 * time.Hour}
}

// Read finds the tag.
func (Brevo) Read(m *upstreamtest.Message, e *Entry) { e.QueueID = m.Options["tag"] }

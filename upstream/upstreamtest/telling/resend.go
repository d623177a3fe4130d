package telling

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// Resend reports as Resend does, https://resend.com/docs/api-reference/emails/list-emails,
// https://resend.com/docs/api-reference/suppressions/list-suppressions and https://resend.com/docs/webhooks/event-types
type Resend struct{}

var resendStates = map[upstream.EventKind]string{0: "sent", upstream.Delivered: "delivered", upstream.Deferred: "delivery_delayed", upstream.Bounced: "bounced",
	upstream.SoftBounced: "bounced", upstream.Complained: "complained", upstream.Failed: "failed", upstream.Suppressed: "suppressed", upstream.Opened: "opened", upstream.Clicked: "clicked"}

// Ask serves the lists of mail, of suppressions and of webhooks.
func (d Resend) Ask(l *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer {
	path := strings.TrimSuffix(r.URL.Path, "/7")
	switch {
	case path == "/webhooks":
		return d.webhooks(l, r, body)
	case r.Method != http.MethodGet || path != "/emails" && path != "/suppressions":
		return nil
	}
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 || limit > 100 {
		return answer(422, map[string]any{"statusCode": 422, "name": "validation_error", "message": "limit must be from 1 to 100"})
	}
	origins := map[string]upstream.EventKind{"bounce": upstream.Bounced, "complaint": upstream.Complained}
	slices.SortStableFunc(seen, func(a, b Entry) int { return b.At.Compare(a.At) })
	list := []map[string]any{}
	for i := range seen {
		e := &seen[i]
		created := e.At.UTC().Format("2006-01-02 15:04:05.000000+00")
		switch {
		case path == "/emails":
			state := resendStates[e.Kind]
			if e.Name != "" {
				state = e.Name
			}
			list = append(list, map[string]any{"id": e.Mail, "to": []string{e.Recipient}, "cc": nil, "bcc": nil, "created_at": created, "last_event": state, "subject": "s"})
		case origins[query.Get("origin")] == e.Kind && e.Kind != 0:
			list = append(list, map[string]any{"id": "sup-" + e.ID, "email": e.Recipient, "origin": query.Get("origin"), "source_id": e.Mail, "created_at": created})
		}
		if len(list) > 0 {
			list[len(list)-1]["page"] = e.ID
		}
	}
	begin := 0
	if after := query.Get("after"); after != "" {
		begin = slices.IndexFunc(list, func(m map[string]any) bool { return m["id"] == after }) + 1
	}
	list = list[begin:]
	return answer(200, map[string]any{"object": "list", "has_more": len(list) > limit, "data": list[:min(limit, len(list))]})
}

func (Resend) webhooks(l *Log, r *http.Request, body []byte) *upstreamtest.Answer {
	known := l.Hooks("resend")
	switch r.Method {
	case http.MethodGet:
		if strings.HasSuffix(r.URL.Path, "/7") {
			return answer(200, map[string]any{"object": "webhook", "id": "7", "signing_secret": l.Secret})
		}
		list := []json.RawMessage{}
		for _, raw := range known {
			list = append(list, json.RawMessage(raw))
		}
		return answer(200, map[string]any{"object": "list", "has_more": false, "data": list})
	case http.MethodPost, http.MethodPatch:
		var h struct {
			Endpoint string
			Events   []string
			Status   string
		}
		if upstreamtest.DecodeStrict(body, &h) != nil || h.Endpoint == "" || len(h.Events) == 0 {
			return answer(422, map[string]any{"statusCode": 422, "name": "validation_error", "message": "endpoint and events are needed"})
		}
		l.hooks["resend"] = []string{upstreamtest.JSON(map[string]any{"id": "7", "endpoint": h.Endpoint, "events": h.Events, "status": "enabled"})}
		if r.Method == http.MethodPatch {
			return answer(200, map[string]any{"object": "webhook", "id": "7"})
		}
		return answer(201, map[string]any{"object": "webhook", "id": "7", "signing_secret": l.Secret})
	}
	return nil
}

// Body has one event.
func (Resend) Body(entries []Entry) []byte {
	e := &entries[0]
	name := "email." + resendStates[e.Kind]
	if e.Name != "" {
		name = e.Name
	}
	data := map[string]any{"email_id": e.Mail, "created_at": e.At.UTC().Format(time.RFC3339Nano), "from": "app@example.com", "to": []string{e.Recipient}, "subject": "s"}
	switch e.Kind {
	case upstream.Bounced:
		data["bounce"] = map[string]any{"type": "Permanent", "subType": "General", "message": "The address does not exist.", "diagnosticCode": []string{e.Words}}
	case upstream.SoftBounced:
		data["bounce"] = map[string]any{"type": "Transient", "subType": "MailboxFull", "message": e.Words, "diagnosticCode": []string{}}
	case upstream.Suppressed:
		data["suppressed"] = map[string]any{"type": "Suppressed", "reason": "previous_bounce", "message": e.Words, "diagnosticCode": []string{}}
	case upstream.Failed:
		data["failed"] = map[string]any{"reason": e.Words}
	}
	return []byte(upstreamtest.JSON(map[string]any{"type": name, "created_at": e.At.UTC().Format(time.RFC3339Nano), "data": data}))
}

// Sign signs as Svix does, https://docs.svix.com/receiving/verifying-payloads/how-manual
func (Resend) Sign(secret string, at time.Time, body []byte) (http.Header, []byte) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		key = []byte("none")
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := base64.StdEncoding.EncodeToString(hmacSHA256(key, []byte("msg_1."+stamp+"."), body))
	return http.Header{"Content-Type": {"application/json"}, "Svix-Id": {"msg_1"}, "Svix-Timestamp": {stamp}, "Svix-Signature": {"v1,AAAA v1," + mac}}, body
}

// Taken reports success.
func (Resend) Taken(status int) bool { return status >= 200 && status < 300 }

// Retries: https://resend.com/docs/webhooks/retries-and-replays
func (Resend) Retries() []time.Duration {
	return []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour}
}

// Read finds nothing: Resend does not get the queue id.
func (Resend) Read(*upstreamtest.Message, *Entry) {}

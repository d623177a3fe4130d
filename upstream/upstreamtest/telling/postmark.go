package telling

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// Postmark reports as Postmark does: of bounces in a list, of all else by webhooks,
// https://postmarkapp.com/developer/api/bounce-api and https://postmarkapp.com/developer/webhooks/webhooks-overview
type Postmark struct{}

func (Postmark) record(e *Entry, hook bool) map[string]any {
	types := map[upstream.EventKind]string{upstream.Bounced: "HardBounce", upstream.SoftBounced: "SoftBounce", upstream.Deferred: "Transient",
		upstream.Complained: "SpamComplaint", upstream.Suppressed: "ManuallyDeactivated", upstream.Failed: "Blocked"}
	kind := types[e.Kind]
	if e.Name != "" {
		kind = e.Name
	}
	at := e.At.Format("2006-01-02T15:04:05.0000000Z07:00")
	if kind == "" {
		return map[string]any{"RecordType": "Delivery", "MessageID": e.Mail, "Recipient": e.Recipient, "DeliveredAt": at, "Details": e.Words,
			"ServerID": 1, "MessageStream": "outbound", "Tag": "", "Metadata": map[string]string{"mailhatch_id": e.QueueID}}
	}
	id := 0
	for _, c := range e.ID {
		id = (id*131 + int(c)) % 1_000_000_007
	}
	m := map[string]any{"ID": id, "Type": kind, "TypeCode": 1, "Name": "Bounce", "MessageID": e.Mail, "Email": e.Recipient, "BouncedAt": at, "Description": "in general words",
		"Details": e.Words, "Inactive": e.Kind == upstream.Bounced, "CanActivate": true, "MessageStream": "outbound"}
	if hook {
		m["RecordType"], m["Metadata"] = "Bounce", map[string]string{"mailhatch_id": e.QueueID}
	}
	return m
}

// Ask serves the bounces, the messages and the webhooks.
func (d Postmark) Ask(l *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer {
	query := r.URL.Query()
	count, err1 := strconv.Atoi(query.Get("count"))
	offset, err2 := strconv.Atoi(query.Get("offset"))
	paged := err1 == nil && err2 == nil && count >= 1 && count <= 500 && offset+count <= 10_000
	bad := func(format string, args ...any) *upstreamtest.Answer {
		return answer(422, map[string]any{"ErrorCode": 300, "Message": fmt.Sprintf(format, args...)})
	}
	switch {
	case r.URL.Path == "/bounces" && r.Method == http.MethodGet:
		from, to, ok := d.window(query.Get("fromdate"), query.Get("todate"))
		if !paged || !ok {
			return bad("count, offset or a date is wrong")
		}
		list := []map[string]any{}
		slices.SortStableFunc(seen, func(a, b Entry) int { return b.At.Compare(a.At) })
		for i := range seen {
			if e := &seen[i]; d.record(e, false)["Type"] != nil && !e.At.Before(from) && !e.At.After(to) {
				list = append(list, d.record(e, false))
			}
		}
		total := len(list)
		list = list[min(offset, total):]
		return answer(200, map[string]any{"TotalCount": total, "Bounces": list[:min(count, len(list))]})
	case r.URL.Path == "/messages/outbound" && r.Method == http.MethodGet:
		if !paged || query.Get("metadata_mailhatch_id") == "" {
			return bad("count or offset is wrong")
		}
		list := []map[string]any{}
		for i := range seen {
			if e := &seen[i]; e.Kind == 0 && e.QueueID == query.Get("metadata_mailhatch_id") {
				list = append(list, map[string]any{"MessageID": e.Mail, "Recipients": []string{e.Recipient}, "Status": "Sent", "ReceivedAt": e.At,
					"Metadata": map[string]string{"mailhatch_id": e.QueueID}})
			}
		}
		return answer(200, map[string]any{"TotalCount": len(list), "Messages": list[:min(count, len(list))]})
	case strings.HasPrefix(r.URL.Path, "/webhooks"):
		return d.webhooks(l, r, body)
	}
	return nil
}

// window reads times of New York, of whichever half of the year.
func (Postmark) window(from, to string) (time.Time, time.Time, bool) {
	const form = "2006-01-02T15:04:05"
	begin, err1 := time.ParseInLocation(form, from, time.FixedZone("", -5*3600))
	end, err2 := time.ParseInLocation(form, to, time.FixedZone("", -5*3600))
	return begin, end, err1 == nil && err2 == nil && !end.Before(begin)
}

func (Postmark) webhooks(l *Log, r *http.Request, body []byte) *upstreamtest.Answer {
	type hook struct {
		ID            int
		URL           string
		MessageStream string
		HTTPAuth      struct{ Username, Password string } `json:"HttpAuth"`
		Triggers      map[string]struct{ Enabled bool }
	}
	if r.Method == http.MethodGet {
		list := []map[string]any{}
		for i, raw := range l.Hooks("postmark") {
			var h map[string]any
			_ = json.Unmarshal([]byte(raw), &h)
			delete(h, "HttpAuth")
			h["ID"] = i + 1
			list = append(list, h)
		}
		return answer(200, map[string]any{"Webhooks": list})
	}
	var h hook
	if upstreamtest.DecodeStrict(body, &h) != nil || h.URL == "" || h.HTTPAuth.Password == "" || r.Method == http.MethodPost && h.MessageStream == "" {
		return answer(422, map[string]any{"ErrorCode": 300, "Message": "a webhook needs Url, MessageStream and HttpAuth"})
	}
	if r.Method == http.MethodPost {
		l.AddHook("postmark", string(body))
	} else {
		l.hooks["postmark"] = []string{string(body)}
	}
	l.Secret = h.HTTPAuth.Username + ":" + h.HTTPAuth.Password
	return answer(200, map[string]any{"ID": 1})
}

// Body has one record.
func (d Postmark) Body(entries []Entry) []byte {
	return []byte(upstreamtest.JSON(d.record(&entries[0], true)))
}

// Sign shows user and password of the address.
func (Postmark) Sign(secret string, _ time.Time, body []byte) (http.Header, []byte) {
	return http.Header{"Content-Type": {"application/json"}, "Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(secret))}}, body
}

// Taken: 200 is success, 403 is a refusal for good.
func (Postmark) Taken(status int) bool { return status == 200 || status == 403 }

// Retries are those of bounces, https://postmarkapp.com/developer/webhooks/webhooks-overview (retries)
func (Postmark) Retries() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour}
}

// Read finds the metadata.
func (Postmark) Read(m *upstreamtest.Message, e *Entry) { e.QueueID = m.Options["mailhatch_id"] }

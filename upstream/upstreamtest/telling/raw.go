package telling

import (
	"cmp"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
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

// SparkPost reports as SparkPost does, https://developers.sparkpost.com/api/events/
type SparkPost struct{}

var sparkpostTypes = map[upstream.EventKind]string{0: "injection", upstream.Delivered: "delivery", upstream.Deferred: "delay", upstream.Bounced: "bounce", upstream.SoftBounced: "bounce",
	upstream.Complained: "spam_complaint", upstream.Suppressed: "policy_rejection", upstream.Failed: "generation_failure", upstream.Unsubscribed: "list_unsubscribe", upstream.Opened: "open", upstream.Clicked: "click"}

func (SparkPost) record(e *Entry, at any) map[string]any {
	name := sparkpostTypes[e.Kind]
	if e.Name != "" {
		name = e.Name
	}
	m := map[string]any{"type": name, "event_id": e.ID, "timestamp": at, "rcpt_to": strings.ToLower(e.Recipient), "raw_rcpt_to": e.Recipient, "transmission_id": e.Mail,
		"rcpt_meta": map[string]string{"mailhatch_id": e.QueueID}, "raw_reason": e.Words, "reason": e.Words, "error_code": "550"}
	switch e.Kind {
	case upstream.Bounced:
		m["bounce_class"] = "10"
	case upstream.SoftBounced:
		m["bounce_class"] = "22"
	case upstream.Suppressed:
		m["bounce_class"], m["raw_reason"] = "25", "554 5.7.1 recipient address was suppressed due to customer policy"
	}
	return m
}

// Ask serves the search and the webhooks.
func (d SparkPost) Ask(l *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer {
	switch {
	case r.URL.Path == "/api/v1/events/message" && r.Method == http.MethodGet:
		query := r.URL.Query()
		from, err1 := time.Parse("2006-01-02T15:04Z", query.Get("from"))
		to, err2 := time.Parse("2006-01-02T15:04Z", query.Get("to"))
		size, err3 := strconv.Atoi(query.Get("per_page"))
		if err1 != nil || err2 != nil || err3 != nil || to.Before(from) || size < 1 || size > 10000 || query.Get("cursor") == "" {
			return answer(400, map[string]any{"errors": []map[string]string{{"message": "invalid params"}}})
		}
		size = min(size, 100) // smaller pages than are asked for
		delimiter := cmp.Or(query.Get("delimiter"), ",")
		types, wanted := strings.Split(query.Get("events"), delimiter), strings.FieldsFunc(query.Get("recipients"), func(r rune) bool { return string(r) == delimiter })
		list := []map[string]any{}
		for i := range seen {
			e := &seen[i]
			m := d.record(e, e.At.UTC().Format("2006-01-02T15:04:05.000Z"))
			ours := len(wanted) == 0 || slices.ContainsFunc(wanted, func(a string) bool { return strings.EqualFold(a, e.Recipient) })
			if ours && slices.Contains(types, m["type"].(string)) && !e.At.Before(from) && e.At.Before(to.Add(time.Minute)) {
				list = append(list, m)
			}
		}
		at, _ := strconv.Atoi(query.Get("cursor"))
		total := len(list)
		list = list[min(at, total):]
		list = list[:min(size, len(list))]
		links := map[string]string{}
		if at+len(list) < total {
			query.Set("cursor", strconv.Itoa(at+len(list)))
			links["next"] = "/api/v1/events/message?" + query.Encode()
		}
		return answer(200, map[string]any{"results": list, "total_count": total, "links": links})
	case strings.HasPrefix(r.URL.Path, "/api/v1/webhooks") && r.Method == http.MethodGet:
		list := []json.RawMessage{}
		for _, raw := range l.Hooks("sparkpost") {
			list = append(list, json.RawMessage(raw))
		}
		return answer(200, map[string]any{"results": list})
	case strings.HasPrefix(r.URL.Path, "/api/v1/webhooks"):
		var h struct {
			Name, Target string
			Events       []string
			AuthType     string                              `json:"auth_type"`
			Auth         struct{ Username, Password string } `json:"auth_credentials"`
		}
		if upstreamtest.DecodeStrict(body, &h) != nil || h.Target == "" || h.AuthType != "basic" || h.Auth.Password == "" {
			return answer(422, map[string]any{"errors": []map[string]string{{"message": "invalid data"}}})
		}
		l.Secret = h.Auth.Username + ":" + h.Auth.Password
		l.hooks["sparkpost"] = []string{upstreamtest.JSON(map[string]any{"id": "7", "target": h.Target, "events": h.Events})}
		return answer(200, map[string]any{"results": map[string]string{"id": "7"}})
	}
	return nil
}

// Body has all events.
func (d SparkPost) Body(entries []Entry) []byte {
	var list []map[string]any
	for i := range entries {
		list = append(list, map[string]any{"msys": map[string]any{"message_event": d.record(&entries[i], strconv.FormatInt(entries[i].At.Unix(), 10))}})
	}
	return []byte(upstreamtest.JSON(list))
}

// Sign shows user and password.
func (SparkPost) Sign(secret string, at time.Time, body []byte) (http.Header, []byte) {
	h, body := Postmark{}.Sign(secret, at, body)
	h.Set("X-Messagesystems-Batch-Id", "b1")
	return h, body
}

// Taken reports success.
func (SparkPost) Taken(status int) bool { return status >= 200 && status < 300 }

// Retries go on for eight hours, https://developers.sparkpost.com/api/webhooks/ (retries)
func (SparkPost) Retries() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
}

// Read finds the metadata.
func (SparkPost) Read(m *upstreamtest.Message, e *Entry) { e.QueueID = m.Options["mailhatch_id"] }

// Mandrill reports as Mandrill does, https://mailchimp.com/developer/transactional/docs/webhooks/
type Mandrill struct{ URL string }

var mandrillEvents = map[upstream.EventKind]string{0: "send", upstream.Delivered: "delivered", upstream.Deferred: "deferral", upstream.Bounced: "hard_bounce", upstream.SoftBounced: "soft_bounce",
	upstream.Complained: "spam", upstream.Suppressed: "reject", upstream.Failed: "reject", upstream.Unsubscribed: "unsub", upstream.Opened: "open", upstream.Clicked: "click"}

// Ask serves the webhooks.
func (d Mandrill) Ask(l *Log, r *http.Request, body []byte, _ []Entry) *upstreamtest.Answer {
	var q struct {
		Key, URL, Description string
		ID                    int
		Events                []string
	}
	if !strings.HasPrefix(r.URL.Path, "/webhooks/") || r.Method != http.MethodPost {
		return nil
	}
	if upstreamtest.DecodeStrict(body, &q) != nil {
		return answer(500, map[string]any{"status": "error", "name": "ValidationError", "message": "invalid"})
	}
	switch {
	case r.URL.Path == "/webhooks/list.json":
		list := []json.RawMessage{}
		for _, raw := range l.Hooks("mandrill") {
			list = append(list, json.RawMessage(raw))
		}
		return answer(200, list)
	case q.URL == "" || len(q.Events) == 0:
		return answer(500, map[string]any{"status": "error", "name": "ValidationError", "message": "url and events are needed"})
	}
	made := map[string]any{"id": 7, "url": q.URL, "auth_key": l.Secret, "events": q.Events}
	l.hooks["mandrill"] = []string{upstreamtest.JSON(made)}
	return answer(200, made)
}

// Body has all events.
func (Mandrill) Body(entries []Entry) []byte {
	var list []map[string]any
	for i := range entries {
		e := &entries[i]
		name := mandrillEvents[e.Kind]
		if e.Name != "" {
			name = e.Name
		}
		msg := map[string]any{"_id": e.Mail, "email": e.Recipient, "metadata": map[string]string{"mailhatch_id": e.QueueID}, "diag": e.Words, "state": "bounced"}
		if e.Kind == upstream.Suppressed {
			msg["reject"] = map[string]string{"reason": "hard-bounce"}
		}
		list = append(list, map[string]any{"event": name, "ts": e.At.Unix(), "_id": e.Mail, "msg": msg})
	}
	return []byte(upstreamtest.JSON(list))
}

// Sign makes the form and signs it with the address,
// https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/#authenticating-webhook-requests
func (d Mandrill) Sign(secret string, _ time.Time, body []byte) (http.Header, []byte) {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(d.URL + "mandrill_events" + string(body)))
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Mandrill-Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}},
		[]byte(url.Values{"mandrill_events": {string(body)}}.Encode())
}

// Taken reports success.
func (Mandrill) Taken(status int) bool { return status >= 200 && status < 300 }

// Retries: https://mailchimp.com/developer/transactional/docs/webhooks/ (failures)
func (Mandrill) Retries() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 8 * time.Hour}
}

// Read finds nothing: metadata of a message as it is are taken out of it.
func (Mandrill) Read(*upstreamtest.Message, *Entry) {}

// NewKey makes a key that Postal and SNS sign with.
func NewKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil
	}
	return key
}

// PublicKey returns that of a key as base64 of its DER form.
func PublicKey(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(der)
}

// Postal reports as a Postal server does, https://docs.postalserver.io/developer/webhooks
type Postal struct{ Key *rsa.PrivateKey }

var postalEvents = map[upstream.EventKind]string{upstream.Delivered: "MessageSent", upstream.Deferred: "MessageDelayed", upstream.Bounced: "MessageDeliveryFailed",
	upstream.Suppressed: "MessageHeld", upstream.Opened: "MessageLoaded", upstream.Clicked: "MessageLinkClicked"}

// Ask has nothing to serve.
func (Postal) Ask(*Log, *http.Request, []byte, []Entry) *upstreamtest.Answer { return nil }

// Body has one event.
func (Postal) Body(entries []Entry) []byte {
	e := &entries[0]
	name := postalEvents[e.Kind]
	if e.Name != "" {
		name = e.Name
	}
	details := "An error occurred"
	if e.Kind == upstream.Suppressed {
		details = "Recipient (" + e.Recipient + ") is on the suppression list"
	}
	message := map[string]any{"id": 12345, "token": "abcdef123", "direction": "outgoing", "message_id": e.Mail, "to": e.Recipient, "from": "app@example.com", "subject": "s", "tag": nil}
	return []byte(upstreamtest.JSON(map[string]any{"event": name, "timestamp": float64(e.At.UnixMilli()) / 1000, "uuid": e.ID,
		"payload": map[string]any{"message": message, "status": "HardFail", "details": details, "output": e.Words, "sent_with_ssl": true, "time": 0.22}}))
}

// Sign signs by RSA over SHA-256; any secret but the public key is another key's.
func (d Postal) Sign(secret string, _ time.Time, body []byte) (http.Header, []byte) {
	sum := sha256.Sum256(body)
	if secret != PublicKey(d.Key) {
		sum[0]++
	}
	signature, err := rsa.SignPKCS1v15(nil, d.Key, crypto.SHA256, sum[:])
	if err != nil {
		signature = fmt.Append(nil, err)
	}
	return http.Header{"Content-Type": {"application/json"}, "X-Postal-Signature-256": {base64.StdEncoding.EncodeToString(signature)}}, body
}

// Taken reports success.
func (Postal) Taken(status int) bool { return status >= 200 && status < 300 }

// Retries: https://docs.postalserver.io/developer/webhooks
func (Postal) Retries() []time.Duration {
	return []time.Duration{2 * time.Minute, 3 * time.Minute, 6 * time.Minute, 10 * time.Minute, 15 * time.Minute}
}

// Read finds nothing: Postal does not get the queue id.
func (Postal) Read(*upstreamtest.Message, *Entry) {}

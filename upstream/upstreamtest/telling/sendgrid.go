package telling

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// SendGrid reports as SendGrid does, https://www.twilio.com/docs/sendgrid/api-reference/email-activity and
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
type SendGrid struct{}

var sendgridNames = map[upstream.EventKind]string{0: "processed", upstream.Delivered: "delivered", upstream.Deferred: "deferred", upstream.Bounced: "bounce",
	upstream.SoftBounced: "bounce", upstream.Suppressed: "dropped", upstream.Failed: "dropped", upstream.Complained: "spamreport", upstream.Unsubscribed: "unsubscribe",
	upstream.Opened: "open", upstream.Clicked: "click"}

// Key makes the key pair of webhooks out of any words, and returns the public one as SendGrid shows it.
func (SendGrid) Key(words string) (*ecdsa.PrivateKey, string) {
	sum := sha256.Sum256([]byte(words))
	curve := elliptic.P256()
	d := new(big.Int).SetBytes(sum[:])
	d.Mod(d, new(big.Int).Sub(curve.Params().N, big.NewInt(1))).Add(d, big.NewInt(1))
	raw := make([]byte, 32)
	private, err := ecdsa.ParseRawPrivateKey(curve, d.FillBytes(raw))
	if err != nil {
		return nil, ""
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, ""
	}
	return private, base64.StdEncoding.EncodeToString(der)
}

// sendgridWords are those that the key is made of; the public key is the secret of a Log.
const sendgridWords = "sendgrid"

// between are the questions that are asked: by the time, and about a recipient.
var between = regexp.MustCompile(`^(?:to_email="([^"]+)" AND )?last_event_time BETWEEN TIMESTAMP "([^"]+)" AND TIMESTAMP "([^"]+)"$`)

// Ask serves Email Activity and the settings of webhooks.
func (d SendGrid) Ask(l *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer {
	id, one := strings.CutPrefix(r.URL.Path, "/v3/messages/")
	switch {
	case strings.HasPrefix(r.URL.Path, "/v3/user/webhooks/event/settings"):
		return d.webhooks(l, r, body)
	case r.Method != http.MethodGet || !one && r.URL.Path != "/v3/messages":
		return nil
	case one:
		for i := range seen {
			if e := &seen[i]; d.messageID(e) == id {
				sort := "bounce"
				if e.Kind == upstream.SoftBounced {
					sort = "blocked"
				}
				return answer(200, map[string]any{"msg_id": id, "to_email": e.Recipient, "status": "not_delivered", "unique_args": upstreamtest.JSON(map[string]string{"mailhatch_id": e.QueueID}),
					"events": []map[string]any{{"event_name": "processed", "processed": e.At.UTC().Format(time.RFC3339)},
						{"event_name": sendgridNames[e.Kind], "processed": e.At.UTC().Format(time.RFC3339), "reason": e.Words, "bounce_type": sort, "mx_server": "mx.example.org", "attempt_num": 1}}})
			}
		}
		return answer(404, map[string]any{"errors": []map[string]string{{"message": "not found"}}})
	}
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	m := between.FindStringSubmatch(query.Get("query"))
	if err != nil || limit < 1 || limit > 1000 || m == nil {
		return answer(400, map[string]any{"errors": []map[string]string{{"message": "invalid query"}}})
	}
	from, _ := time.Parse(time.RFC3339, m[2])
	to, _ := time.Parse(time.RFC3339, m[3])
	list := []map[string]any{}
	for i := range seen {
		e := &seen[i]
		at := e.At.Truncate(time.Second)
		if at.Before(from) || at.After(to) || m[1] != "" && !strings.EqualFold(m[1], e.Recipient) {
			continue
		}
		status := "not_delivered"
		if e.Kind == 0 || e.Kind == upstream.Delivered || e.Kind > upstream.SoftBounced && e.Kind != upstream.Suppressed && e.Kind != upstream.Failed {
			status = map[bool]string{true: "processed", false: "delivered"}[e.Kind == 0]
		}
		list = append(list, map[string]any{"msg_id": d.messageID(e), "from_email": "app@example.com", "to_email": e.Recipient, "subject": "s", "status": status,
			"opens_count": 0, "clicks_count": 0, "last_event_time": e.At.UTC().Format(time.RFC3339)})
	}
	slices.Reverse(list)
	return answer(200, map[string]any{"messages": list[:min(limit, len(list))]})
}

func (SendGrid) messageID(e *Entry) string { return e.Mail + ".filter0001." + e.ID + ".0" }

func (d SendGrid) webhooks(l *Log, r *http.Request, body []byte) *upstreamtest.Answer {
	const settings = "/v3/user/webhooks/event/settings"
	var h map[string]any
	if r.Method != http.MethodGet && (json.Unmarshal(body, &h) != nil || h["enabled"] != true) {
		return answer(400, map[string]any{"errors": []map[string]string{{"message": "enabled is needed"}}})
	}
	switch {
	case r.Method == http.MethodGet && r.URL.Path == settings+"/all":
		list := []json.RawMessage{}
		for _, raw := range l.Hooks("sendgrid") {
			list = append(list, json.RawMessage(raw))
		}
		return answer(200, map[string]any{"max_allowed": 1, "webhooks": list})
	case r.Method == http.MethodPatch && r.URL.Path == settings+"/signed/7":
		_, public := d.Key(sendgridWords)
		return answer(200, map[string]any{"id": "7", "public_key": public})
	case r.Method == http.MethodPost && r.URL.Path == settings, r.Method == http.MethodPatch && r.URL.Path == settings+"/7":
		h["id"] = "7"
		l.hooks["sendgrid"] = []string{upstreamtest.JSON(h)}
		return answer(201, h)
	}
	return nil
}

// Body has all events.
func (d SendGrid) Body(entries []Entry) []byte {
	var list []map[string]any
	for i := range entries {
		e := &entries[i]
		name := sendgridNames[e.Kind]
		if e.Name != "" {
			name = e.Name
		}
		m := map[string]any{"email": e.Recipient, "timestamp": e.At.Unix(), "smtp-id": "<x@example.com>", "event": name, "sg_event_id": e.ID, "sg_message_id": d.messageID(e), "mailhatch_id": e.QueueID}
		switch e.Kind {
		case upstream.Bounced, upstream.SoftBounced:
			m["reason"], m["status"], m["type"], m["bounce_classification"] = e.Words, e.Status, "bounce", "Invalid Address"
			if e.Kind == upstream.SoftBounced {
				m["type"] = "blocked"
			}
		case upstream.Suppressed:
			m["reason"] = "Bounced Address"
		case upstream.Failed:
			m["reason"] = "Spam Content"
		default:
			m["response"] = e.Words
		}
		list = append(list, m)
	}
	return []byte(upstreamtest.JSON(list))
}

// Sign signs time and body by ECDSA with the key that belongs to a public one, another one for any other secret.
func (d SendGrid) Sign(secret string, at time.Time, body []byte) (http.Header, []byte) {
	private, public := d.Key(sendgridWords)
	if secret != public {
		private, _ = d.Key(secret)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	sum := sha256.Sum256([]byte(stamp + string(body)))
	signature, err := ecdsa.SignASN1(nil, private, sum[:])
	if err != nil {
		signature = nil
	}
	return http.Header{"Content-Type": {"application/json"}, "X-Twilio-Email-Event-Webhook-Timestamp": {stamp},
		"X-Twilio-Email-Event-Webhook-Signature": {base64.StdEncoding.EncodeToString(signature)}}, body
}

// Taken reports success.
func (SendGrid) Taken(status int) bool { return status >= 200 && status < 300 }

// Retries go on for a day, https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook
func (SendGrid) Retries() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 8 * time.Hour, 10 * time.Hour}
}

// Read finds the custom argument.
func (SendGrid) Read(m *upstreamtest.Message, e *Entry) { e.QueueID = m.Options["mailhatch_id"] }

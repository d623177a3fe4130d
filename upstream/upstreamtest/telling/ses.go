package telling

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// SES reports as SES does, by SNS and by a queue of SQS; the secret of a Log is the ARN of its topic.
// https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
type SES struct {
	Key *rsa.PrivateKey

	deleted, hidden []string // ids of entries
}

const certificatePath = "/SimpleNotificationService-0123456789abcdef.pem"

// Public reports that everybody may ask for that.
func (*SES) Public(r *http.Request) bool { return r.Method == http.MethodGet }

// Ask serves the queue, the certificate of SNS, and the address at which a topic is confirmed.
func (d *SES) Ask(_ *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer {
	target, isSQS := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	switch {
	case r.URL.Path == certificatePath && r.Method == http.MethodGet:
		return &upstreamtest.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/x-pem-file"}}, Body: string(d.certificate())}
	case r.URL.Query().Get("Action") == "ConfirmSubscription":
		return &upstreamtest.Answer{Status: 200, Body: "<ConfirmSubscriptionResponse/>"}
	case !isSQS:
		return nil
	}
	var q struct {
		QueueURL                                                string `json:"QueueUrl"`
		MaxNumberOfMessages, VisibilityTimeout, WaitTimeSeconds int
		Entries                                                 []struct{ ID, ReceiptHandle string }
	}
	if upstreamtest.DecodeStrict(body, &q) != nil || q.QueueURL == "" || r.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
		return answer(400, map[string]string{"__type": "com.amazonaws.sqs#InvalidRequest", "message": "invalid"})
	}
	if target == "DeleteMessageBatch" {
		if len(q.Entries) < 1 || len(q.Entries) > 10 {
			return answer(400, map[string]string{"__type": "com.amazonaws.sqs#TooManyEntriesInBatchRequest", "message": "1 to 10"})
		}
		for _, e := range q.Entries {
			d.deleted = append(d.deleted, strings.TrimPrefix(e.ReceiptHandle, "receipt-"))
		}
		return answer(200, map[string]any{"Successful": []any{}})
	}
	if q.MaxNumberOfMessages < 1 || q.MaxNumberOfMessages > 10 {
		return answer(400, map[string]string{"__type": "com.amazonaws.sqs#InvalidParameterValue", "message": "MaxNumberOfMessages"})
	}
	var list []map[string]string
	for i := range seen {
		e := &seen[i]
		if e.Kind == 0 || slices.Contains(d.deleted, e.ID) || slices.Contains(d.hidden, e.ID) || len(list) == q.MaxNumberOfMessages {
			continue
		}
		if q.VisibilityTimeout > 0 { // no test lasts that long
			d.hidden = append(d.hidden, e.ID)
		}
		list = append(list, map[string]string{"MessageId": "sqs-" + e.ID, "ReceiptHandle": "receipt-" + e.ID,
			"Body": upstreamtest.JSON(map[string]string{"Type": "Notification", "MessageId": "sns-" + e.ID, "Message": string(d.Body([]Entry{*e}))})})
	}
	return answer(200, map[string]any{"Messages": list})
}

// Deleted returns the ids of the entries whose messages were deleted.
func (d *SES) Deleted() []string { return d.deleted }

var sesTypes = map[upstream.EventKind]string{0: "Send", upstream.Delivered: "Delivery", upstream.Deferred: "DeliveryDelay", upstream.Bounced: "Bounce", upstream.SoftBounced: "Bounce",
	upstream.Suppressed: "Bounce", upstream.Complained: "Complaint", upstream.Failed: "Reject", upstream.Unsubscribed: "Subscription", upstream.Opened: "Open", upstream.Clicked: "Click"}

// Body has one event, as it is in a message of SNS.
func (*SES) Body(entries []Entry) []byte {
	e := &entries[0]
	at := e.At.UTC().Format("2006-01-02T15:04:05.000Z")
	name := sesTypes[e.Kind]
	if e.Name != "" {
		name = e.Name
	}
	people := []map[string]string{{"emailAddress": e.Recipient, "action": "failed", "status": e.Status, "diagnosticCode": e.Words}}
	m := map[string]any{"eventType": name, "mail": map[string]any{"timestamp": at, "source": "app@example.com", "messageId": e.Mail, "destination": []string{e.Recipient},
		"tags": map[string][]string{"mailhatch_id": {e.QueueID}, "ses:configuration-set": {"mail"}}}}
	switch e.Kind {
	case upstream.Bounced, upstream.SoftBounced, upstream.Suppressed:
		kind, sub := "Permanent", "General"
		if e.Kind == upstream.SoftBounced {
			kind, sub = "Transient", "MailboxFull"
		} else if e.Kind == upstream.Suppressed {
			sub = "OnAccountSuppressionList"
		}
		m["bounce"] = map[string]any{"bounceType": kind, "bounceSubType": sub, "bouncedRecipients": people, "timestamp": at, "feedbackId": e.ID, "reportingMTA": "dsn; mx.example.org"}
	case upstream.Complained:
		m["complaint"] = map[string]any{"complainedRecipients": people, "timestamp": at, "feedbackId": e.ID, "complaintFeedbackType": "abuse"}
	case upstream.Delivered:
		m["delivery"] = map[string]any{"timestamp": at, "recipients": []string{e.Recipient}, "smtpResponse": "250 2.0.0 OK", "reportingMTA": "a.smtp-out.amazonses.com"}
	case upstream.Deferred:
		m["deliveryDelay"] = map[string]any{"timestamp": at, "delayType": "MailboxFull", "delayedRecipients": people}
	case upstream.Failed:
		m["reject"] = map[string]any{"reason": e.Words}
	}
	return []byte(upstreamtest.JSON(m))
}

// Sign makes a message of SNS of the body, or, where that is one of SNS already, completes it.
func (d *SES) Sign(secret string, at time.Time, body []byte) (http.Header, []byte) {
	m := map[string]string{"Type": "Notification", "Message": string(body)}
	var given map[string]string
	if json.Unmarshal(body, &given) == nil && given["Type"] != "" {
		m = given
	}
	for name, value := range map[string]string{"MessageId": "sns-1", "TopicArn": secret, "Timestamp": at.UTC().Format("2006-01-02T15:04:05.000Z"), "SignatureVersion": "2",
		"SigningCertURL": "https://sns.us-east-1.amazonaws.com" + certificatePath} {
		if m[name] == "" {
			m[name] = value
		}
	}
	var text bytes.Buffer
	for _, name := range []string{"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"} {
		if value, ok := m[name]; ok {
			text.WriteString(name + "\n" + value + "\n")
		}
	}
	sum := sha256.Sum256(text.Bytes())
	signature, err := rsa.SignPKCS1v15(nil, d.Key, crypto.SHA256, sum[:])
	if err == nil {
		m["Signature"] = base64.StdEncoding.EncodeToString(signature)
	}
	return http.Header{"Content-Type": {"text/plain; charset=UTF-8"}, "X-Amz-Sns-Message-Type": {m["Type"]}}, []byte(upstreamtest.JSON(m))
}

func (d *SES) certificate() []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &d.Key.PublicKey, d.Key)
	if err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Taken reports success.
func (*SES) Taken(status int) bool { return status >= 200 && status < 300 }

// Retries: https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html (the default policy)
func (*SES) Retries() []time.Duration {
	return []time.Duration{20 * time.Second, 20 * time.Second, 20 * time.Second}
}

// Read finds the tag.
func (*SES) Read(m *upstreamtest.Message, e *Entry) { e.QueueID = m.Options["mailhatch_id"] }

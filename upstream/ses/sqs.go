package ses

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// sqsHost returns scheme and host of a queue's address, "" where it is none.
func sqsHost(queue string) string {
	u, err := url.Parse(queue)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(strings.Trim(u.Path, "/")) == 0 {
		return ""
	}
	if u.Scheme == "https" && (strings.HasSuffix(u.Host, ".amazonaws.com") || strings.HasSuffix(u.Host, ".amazonaws.com.cn")) || upstream.IsLoopback(u.Hostname()) {
		return u.Scheme + "://" + u.Host
	}
	return ""
}

// received is a message of the queue.
type received struct {
	ID     string `json:"MessageId"`
	Handle string `json:"ReceiptHandle"`
	Body   string
}

const (
	sqsVersion = "1"
	sqsBatch   = 10  // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
	sqsHidden  = 300 // seconds in which a message that was read is not told again: until then it is stored and deleted
)

// call makes a request of SQS, https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
func (f *feedback) call(ctx context.Context, action string, fields map[string]any, v any) error {
	fields["QueueUrl"] = f.queue
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	reader := &events.Reader{Client: f.sqs, Problem: problemOf, Rules: rules, Denied: []int{403},
		Scope: upstream.ScopeError{Scope: "sqs:" + action, Hint: "allow sqs:ReceiveMessage and sqs:DeleteMessage of the queue to the access key or role"}}
	err = reader.Read(ctx, &api.Request{Method: "POST", Path: "/", Header: []string{"Content-Type", "application/x-amz-json-1.0", "X-Amz-Target", "AmazonSQS." + action},
		Body: api.Payload{{Literal: body}}}, v)
	return err
}

// Poll receives messages of the queue. What is read is hidden from others for a while; the cursor has the receipts, by
// which the next poll deletes it, for then it has been stored.
func (f *feedback) Poll(ctx context.Context, ask upstream.Ask) (upstream.Batch, error) {
	if f.queue == "" {
		return upstream.Batch{}, &upstream.Error{Class: upstream.Account, Err: errNoQueue}
	}
	if handles, ok := strings.CutPrefix(string(ask.Since), sqsVersion+" "); ok && handles != "" {
		var entries []map[string]string
		for i, handle := range strings.Split(handles, " ") {
			entries = append(entries, map[string]string{"Id": strconv.Itoa(i), "ReceiptHandle": handle})
		}
		// A receipt that is no longer good: the message comes again, and is known by its key.
		if err := f.call(ctx, "DeleteMessageBatch", map[string]any{"Entries": entries[:min(len(entries), sqsBatch)]}, nil); err != nil {
			return upstream.Batch{}, err
		}
	}
	var got struct{ Messages []received }
	if err := f.call(ctx, "ReceiveMessage", map[string]any{"MaxNumberOfMessages": sqsBatch, "VisibilityTimeout": sqsHidden, "WaitTimeSeconds": 0}, &got); err != nil {
		return upstream.Batch{}, err
	}
	page := events.NewPage(time.Now())
	var handles []string
	for _, m := range got.Messages {
		var e envelope
		message := m.Body
		if json.Unmarshal([]byte(m.Body), &e) == nil && e.Type == "Notification" { // without raw message delivery
			message = e.Message
		}
		readNotification(page, message, cmp.Or(e.MessageID, m.ID))
		if m.Handle != "" && !strings.ContainsAny(m.Handle, " \r\n") && len(m.Handle) <= 4096 {
			handles = append(handles, m.Handle)
		}
	}
	page.Next, page.More = upstream.Cursor(sqsVersion+" "+strings.Join(handles, " ")), len(got.Messages) > 0
	return page.Batch, nil
}

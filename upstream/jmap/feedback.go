package jmap

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

// ways: a push of RFC 8620 7.2 says only that something has changed.
var ways = events.Ways{Tells: upstream.Tells{Poll: true}, Pace: time.Second}

const (
	logKept = 7 * 24 * time.Hour
	logPage = 100
)

// feedback reads the delivery status of submissions.
type feedback struct {
	provider *provider
	listener *events.Listener
	reader   *events.Reader
	logDelay time.Duration
}

func newFeedback(p *provider, l *events.Listener, logDelay time.Duration) *feedback {
	return &feedback{p, l, &events.Reader{Client: p.client, Problem: problemOf, Rules: rules, Denied: []int{403},
		Scope: upstream.ScopeError{Scope: submissionCapability, Hint: "make an API token with the right to send mail and to read what was sent"}}, logDelay}
}

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening { return f.listener.Listening() }

// Receive has no webhooks to read.
func (f *feedback) Receive(context.Context, http.Header, []byte) (upstream.Batch, error) {
	return upstream.Batch{}, upstream.ErrSignature
}

// submitted is what is asked of an EmailSubmission (RFC 8621 7).
type submitted struct {
	ID     events.Text `json:"id"`
	Status map[string]struct {
		Reply     events.Text `json:"smtpReply"`
		Delivered events.Text `json:"delivered"` // queued, yes, no or unknown
	} `json:"deliveryStatus"`
}

// Poll reads a page of the submissions, newest first (RFC 8621 7.3): their status changes where they are. A server may
// forget submissions; then nothing is known of them.
func (f *feedback) Poll(ctx context.Context, ask upstream.Ask) (upstream.Batch, error) {
	now := time.Now()
	s := events.Begin(ask, now, logKept)
	position, _ := strconv.Atoi(s.Page)
	list, err := f.submissions(ctx, s.Oldest(ask, now, logKept), position)
	if err != nil {
		return upstream.Batch{}, err
	}
	page, next := events.NewPage(now), events.NextOffset(s.Page, len(list), logPage)
	events.ReadAll(page, list, (*submitted).read)
	page.Next, page.More = s.Next(next), next != ""
	return page.Batch, nil
}

func (e *submitted) read(page *events.Page) {
	for _, recipient := range slices.Sorted(maps.Keys(e.Status)) {
		status := e.Status[recipient]
		kind := map[events.Text]upstream.EventKind{"yes": upstream.Delivered, "no": upstream.Bounced}[status.Delivered]
		if kind == 0 {
			continue // nothing is known yet, or for good
		}
		page.Add(upstream.Event{Kind: kind, ProviderID: string(e.ID), Recipient: recipient, Words: string(status.Reply),
			Key: upstream.EventKey(string(e.ID), strings.ToLower(recipient), kind.String())})
	}
}

// submissions asks for those that were sent since a time.
func (f *feedback) submissions(ctx context.Context, oldest time.Time, position int) ([]json.RawMessage, error) {
	acc, _, e := f.provider.account(ctx)
	if e != nil {
		return nil, e
	}
	got, err := f.call(ctx, acc, query(acc, oldest, position),
		call{"EmailSubmission/get", map[string]any{"accountId": acc.id, "#ids": map[string]any{"resultOf": "query", "name": "EmailSubmission/query", "path": "/ids"},
			"properties": []string{"id", "deliveryStatus"}}, "get"})
	if err != nil {
		return nil, err
	}
	var args struct {
		List []json.RawMessage `json:"list"`
	}
	return args.List, got.read("EmailSubmission/get", "get", &args)
}

// query asks for the submissions since a time, newest first.
func query(acc *account, oldest time.Time, position int) call {
	type object = map[string]any
	return call{"EmailSubmission/query", object{"accountId": acc.id, "filter": object{"after": oldest.UTC().Format(time.RFC3339)},
		"sort": []object{{"property": "sentAt", "isAscending": false}}, "position": position, "limit": logPage}, "query"}
}

// call makes method calls that change nothing. A session that does not hold any more is read anew before the next.
func (f *feedback) call(ctx context.Context, acc *account, calls ...call) (got response, err error) {
	r, e := requestOf(acc.api, calls)
	if e != nil {
		return got, e
	}
	err = f.reader.Read(ctx, r, &got)
	if err != nil && (events.IsMissing(err) || events.IsDenied(err)) || got.State != "" && got.State != acc.state {
		f.provider.remember(nil)
	}
	return got, err
}

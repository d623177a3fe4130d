package jmap

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// traceDelay is how long a server may work at a request whose client has gone. What it has done it shows at once.
const traceDelay = 5 * time.Minute

const tracePages = 20 // of submissions

// TraceDelay returns how long after an offer the server has it.
func (f *feedback) TraceDelay() time.Duration { return f.logDelay }

// Trace looks for submissions (RFC 8621 7) of an email with the mail's Message-ID, whose envelopes name the recipients.
// A server may forget submissions. Where it has none, but the email is no draft any more, nobody knows.
func (f *feedback) Trace(ctx context.Context, m *upstream.Mail, since time.Time) ([]upstream.Traced, error) {
	id := strings.Trim(m.Message.MessageID, "<> ")
	if id == "" {
		return nil, api.Errorf(upstream.Unrepresentable, "", "the mail has no Message-ID to find it by")
	}
	traces := events.Traces{}
	for page := 0; ; page++ {
		if page == tracePages {
			return nil, api.Errorf(upstream.Unrepresentable, "", "the server has too many submissions to find the mail")
		}
		list, err := f.traced(ctx, since, page*logPage)
		if err != nil {
			return nil, err
		}
		for i := range list.Submissions {
			s := &list.Submissions[i]
			if !slices.Contains(list.Messages[s.Email], id) {
				continue
			}
			for _, to := range s.Envelope.To {
				traces.Add(to.Email, s.ID)
			}
		}
		if len(list.Submissions) < logPage {
			break
		}
	}
	if len(traces) == 0 {
		if err := f.forgotten(ctx, id); err != nil {
			return nil, err
		}
	}
	return traces.Of(m), nil
}

// forgotten returns an error where an email is no draft any more: it was submitted.
func (f *feedback) forgotten(ctx context.Context, messageID string) error {
	acc, _, e := f.provider.account(ctx)
	if e != nil {
		return e
	}
	if acc.drafts == "" {
		return nil // nothing distinguishes it
	}
	type object = map[string]any
	got, err := f.call(ctx, acc,
		call{"Email/query", object{"accountId": acc.id, "filter": object{"header": []string{"Message-ID", messageID}}, "limit": logPage}, "query"},
		call{"Email/get", object{"accountId": acc.id, "#ids": object{"resultOf": "query", "name": "Email/query", "path": "/ids"},
			"properties": []string{"messageId", "keywords"}}, "get"})
	if err != nil {
		return err
	}
	var args struct {
		List []struct {
			MessageID []string `json:"messageId"`
			Keywords  map[string]bool
		}
	}
	if err := got.read("Email/get", "get", &args); err != nil {
		return err
	}
	for _, email := range args.List {
		if slices.Contains(email.MessageID, messageID) && !email.Keywords["$draft"] {
			return api.Errorf(upstream.Unrepresentable, "", "the server has the mail among those sent, and no submission of it any more")
		}
	}
	return nil
}

// submissionsOf are submissions, and the Message-IDs of their emails.
type submissionsOf struct {
	Submissions []struct {
		ID       string
		Email    string `json:"emailId"`
		Envelope struct {
			To []address `json:"rcptTo"`
		}
	}
	Messages map[string][]string
}

// traced asks for a page of the submissions since a time.
func (f *feedback) traced(ctx context.Context, since time.Time, position int) (list submissionsOf, err error) {
	acc, _, e := f.provider.account(ctx)
	if e != nil {
		return list, e
	}
	type object = map[string]any
	got, err := f.call(ctx, acc, query(acc, since, position),
		call{"EmailSubmission/get", object{"accountId": acc.id, "#ids": object{"resultOf": "query", "name": "EmailSubmission/query", "path": "/ids"},
			"properties": []string{"id", "emailId", "envelope"}}, "get"},
		call{"Email/get", object{"accountId": acc.id, "#ids": object{"resultOf": "get", "name": "EmailSubmission/get", "path": "/list/*/emailId"},
			"properties": []string{"id", "messageId"}}, "emails"})
	if err != nil {
		return list, err
	}
	var submissions struct{ List json.RawMessage }
	var emails struct {
		List []struct {
			ID        string
			MessageID []string `json:"messageId"`
		}
	}
	if err = got.read("EmailSubmission/get", "get", &submissions); err == nil {
		err = got.read("Email/get", "emails", &emails)
	}
	if err == nil && json.Unmarshal(submissions.List, &list.Submissions) != nil {
		err = unreadable("the submissions cannot be read")
	}
	list.Messages = map[string][]string{}
	for _, email := range emails.List {
		list.Messages[email.ID] = email.MessageID
	}
	return list, err
}

// read reads the answer to a method call.
func (r response) read(name, id string, v any) error {
	words := "the answer has no " + name
	for _, result := range r.Responses {
		switch {
		case result.name == name && result.id == id:
			if json.Unmarshal(result.args, v) != nil {
				return unreadable(name + " cannot be read")
			}
			return nil
		case result.name == "error":
			words = result.problem().Message
		}
	}
	return unreadable(words)
}

func unreadable(words string) error {
	return &upstream.Error{Status: http.StatusOK, Err: fmt.Errorf("%s", api.Line(words))}
}

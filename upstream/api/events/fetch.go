package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Reader asks an API for what it knows. Its requests change nothing, so that none of their outcomes is uncertain.
type Reader struct {
	Client  *api.Client
	Problem func(*api.Answer) api.Problem
	Rules   []api.Rule

	// Scope is the right that reading needs; Denied are the statuses of answers to a key that lacks it.
	Scope  upstream.ScopeError
	Denied []int
}

// With returns a Reader for what needs another right.
func (r *Reader) With(scope upstream.ScopeError) *Reader {
	other := *r
	other.Scope = scope
	return &other
}

// maxAnswer bounds what is read of an answer, in bytes: a thousand events with all their fields, or a list of thirty thousand
// addresses. Looking for secrets in it takes up to 25 times as much memory for a moment.
const maxAnswer = 4 << 20

// Read makes a request and reads an answer of JSON into v. The error is an *upstream.Error.
func (r *Reader) Read(ctx context.Context, q *api.Request, v any) error {
	q.Limit = maxAnswer
	a, err := r.Client.Do(ctx, q)
	if err != nil {
		return mild(err)
	}
	if slices.Contains(r.Denied, a.Status) && r.Scope.Scope != "" {
		return &upstream.Error{Class: upstream.Account, Status: a.Status, Err: &r.Scope}
	}
	if a.Status < 200 || a.Status > 299 {
		e, _ := api.Classify(a, r.Problem(a), r.Rules)
		return mild(e)
	}
	if a.ReadErr != nil {
		return &upstream.Error{Status: a.Status, Err: fmt.Errorf("the answer ended early: %w", a.ReadErr)}
	}
	if len(a.Body) >= maxAnswer {
		return &upstream.Error{Status: a.Status, Err: fmt.Errorf("the answer is longer than %d MB", maxAnswer>>20)}
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		return &upstream.Error{Status: a.Status, Err: errors.New("the answer cannot be read: " + a.Words(api.Problem{}))}
	}
	return nil
}

// Write sends body as JSON, and reads an answer as Read does.
func (r *Reader) Write(ctx context.Context, method, path string, body, v any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	q := api.PostJSON(path, api.Payload{{Literal: raw}})
	q.Method = method
	return r.Read(ctx, q, v)
}

// Delete removes what may not be there.
func (r *Reader) Delete(ctx context.Context, path string) error {
	err := r.Read(ctx, &api.Request{Method: "DELETE", Path: path, Header: []string{"Accept", "application/json"}}, nil)
	if IsMissing(err) {
		return nil
	}
	return err
}

// Get is a request that changes nothing. The query is name, value, name, value…; those without a value are left out.
func Get(path string, query ...string) *api.Request {
	return &api.Request{Method: "GET", Path: path + queryOf(query), Header: []string{"Accept", "application/json"}}
}

func queryOf(pairs []string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// mild makes what would be said of a mail something that passes.
func mild(err *upstream.Error) error {
	e := *err
	if e.Class != upstream.Throttled && e.Class != upstream.Account {
		e.Class = upstream.Temporary
	}
	return &e
}

// IsDenied reports whether an error of Read is about a right that the key lacks.
func IsDenied(err error) bool {
	var scope *upstream.ScopeError
	return errors.As(err, &scope)
}

// IsMissing reports whether an error of Read is an answer that the thing asked for is not there.
func IsMissing(err error) bool {
	var e *upstream.Error
	return errors.As(err, &e) && e.Status == 404
}

package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// Read makes a request and reads an answer of JSON into v. The error is an *upstream.Error.
func (r *Reader) Read(ctx context.Context, q *api.Request, v any) error {
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
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		return &upstream.Error{Status: a.Status, Err: errors.New("the answer cannot be read: " + a.Words(api.Problem{}))}
	}
	return nil
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

// IsMissing reports whether an error of Read is an answer that there is no such thing.
func IsMissing(err error) bool {
	var e *upstream.Error
	return errors.As(err, &e) && e.Status == 404
}

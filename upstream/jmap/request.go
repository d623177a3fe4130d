package jmap

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// call is one method call of a request (RFC 8620 3.2).
type call struct {
	name string
	args any
	id   string
}

// MarshalJSON writes the list that an invocation is.
func (c call) MarshalJSON() ([]byte, error) { return json.Marshal([]any{c.name, c.args, c.id}) }

// requestOf makes a request of method calls (RFC 8620 3.3).
func requestOf(at place, calls []call) (*api.Request, *upstream.Error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Using []string `json:"using"`
		Calls []call   `json:"methodCalls"`
	}{[]string{coreCapability, mailCapability, submissionCapability}, calls})
	if err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	return &api.Request{Method: "POST", Base: at.base, Path: at.path, Body: api.Payload{{Literal: bytes.TrimSpace(b.Bytes())}},
		Header: []string{"Content-Type", "application/json", "Accept", "application/json"}}, nil
}

// post makes method calls. What the server thinks of the session is heeded.
func (p *provider) post(ctx context.Context, acc *account, calls []call) (*api.Answer, *upstream.Error) {
	r, e := requestOf(acc.api, calls)
	if e != nil {
		return nil, e
	}
	a, e := p.client.Do(ctx, r)
	if e != nil {
		return nil, e
	}
	if got, _ := readResponse(a); isStale(a) || got.State != "" && got.State != acc.state {
		p.remember(nil)
	}
	return a, nil
}

// isStale reports that the session may not hold any more.
func isStale(a *api.Answer) bool { return a.Status == 401 || a.Status == 404 }

// response is what a request with method calls gets (RFC 8620 3.4).
type response struct {
	Responses []result `json:"methodResponses"`
	State     string   `json:"sessionState"`
}

// result is the answer to one method call.
type result struct {
	name string
	args json.RawMessage
	id   string
}

// UnmarshalJSON reads [name, arguments, id].
func (r *result) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&r.name, &r.args, &r.id})
}

// readResponse reads an answer; own reports that it is one to method calls.
func readResponse(a *api.Answer) (got response, own bool) {
	err := json.Unmarshal(a.Body, &got)
	return got, err == nil && len(got.Responses) > 0
}

// setError says why a record was not made, or a method not called (RFC 8620 3.6.2 and 5.3, RFC 8621 4.8 and 7.5).
type setError struct {
	Type              string
	Description       string
	Properties        []string
	InvalidRecipients []string
	ExistingID        string `json:"existingId"`
}

func (s setError) problem() api.Problem {
	message := cmp.Or(s.Description, s.Type)
	if len(s.Properties) > 0 {
		message += " (" + strings.Join(s.Properties, ", ") + ")"
	}
	return api.Problem{Name: api.Line(s.Type), Message: message, Own: s.Type != ""}
}

// problem reads the arguments of "error".
func (r result) problem() api.Problem {
	var s setError
	_ = json.Unmarshal(r.args, &s) // what cannot be read has no type
	return s.problem()
}

// problemOf reads a request-level error: problem details (RFC 7807) with a type of RFC 8620 3.6.1.
func problemOf(a *api.Answer) api.Problem {
	var w struct{ Type, Title, Detail, Limit string }
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &w) != nil || w.Type == "" {
		return api.Problem{}
	}
	name, own := strings.CutPrefix(w.Type, "urn:ietf:params:jmap:error:")
	message := cmp.Or(w.Detail, w.Title, name)
	if w.Limit != "" {
		message += " (" + w.Limit + ")"
	}
	return api.Problem{Name: api.Line(name), Message: message, Own: own || w.Detail != "" || w.Title != ""}
}

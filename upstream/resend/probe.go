package resend

import (
	"context"
	"encoding/json"
	"errors"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Account asks for the domains, https://resend.com/docs/api-reference/domains/list-domains. A key that may only
// send gets an error that proves it valid.
func (r *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := r.client.Do(ctx, &api.Request{Method: "GET", Path: "/domains"})
	if err != nil {
		return nil, err
	}
	w := problemOf(a)
	if a.Status == 200 && a.ReadErr == nil && json.Valid(a.Body) || a.Status == 401 && w.Name == "restricted_api_key" {
		return a, nil
	}
	if a.Status == 200 {
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: errors.New("the answer is not from Resend; check base_url")}
	}
	e, _ := api.Classify(a, w, rules)
	return a, e
}

// levels: https://resend.com/docs/dashboard/domains/introduction
var levels = map[string]upstream.Level{"verified": upstream.Fine, "partially_verified": upstream.Warn}

// Findings reads what the key may do, and which domains are verified.
func (r *provider) Findings(_ context.Context, a *api.Answer, domains []string) []upstream.Finding {
	if a.Status != 200 {
		return []upstream.Finding{upstream.Finef("key", "valid; it may only send"), upstream.Finef("domain", "a key that may only send is not told which domains are verified")}
	}
	var got struct {
		More bool `json:"has_more"`
		Data []struct{ Name, Status string }
	}
	if json.Unmarshal(a.Body, &got) != nil {
		return []upstream.Finding{upstream.Finef("key", "valid"), {Name: "domain", Level: upstream.Warn, Text: "the list of domains cannot be read"}}
	}
	var known []api.Domain
	for _, d := range got.Data {
		level, ok := levels[d.Status]
		if !ok {
			level = upstream.Fail
		}
		known = append(known, api.Domain{Name: api.Line(d.Name), Status: api.Line(d.Status), Level: level})
	}
	// The domain of From must be one of these exactly.
	return append([]upstream.Finding{upstream.Finef("key", "valid")},
		api.DomainFindings(domains, known, !got.More, upstream.Fail, "add it and its DNS records at https://resend.com/domains")...)
}

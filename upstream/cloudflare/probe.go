package cloudflare

import (
	"context"
	"errors"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Account makes a request without a message: a token that may send learns that it lacks one.
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := p.client.Do(ctx, &api.Request{Method: "POST", Path: p.path, Body: api.Payload{{Literal: []byte("{}")}},
		Header: []string{"Content-Type", "application/json"}})
	if err != nil {
		return nil, err
	}
	got, problem := read(a)
	switch {
	case a.Status == 400 && problem.Name == "10001":
		return a, nil
	case a.Status < 300 && !got.Success && !problem.Own:
		return a, &upstream.Error{Class: upstream.Account, Status: a.Status, Err: errors.New("the answer is not from Cloudflare; check base_url")}
	}
	e, _ := api.Classify(a, problem, rules)
	return a, e
}

// Findings says what a token that may send proves.
func (p *provider) Findings(context.Context, *api.Answer, []string) []upstream.Finding {
	return []upstream.Finding{upstream.Finef("key", "valid, and may send"), upstream.Finef("domain", "a token that may only send is not told which domains are onboarded")}
}

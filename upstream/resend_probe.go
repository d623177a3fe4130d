package upstream

import (
	"context"
	"encoding/json"
	"errors"
)

// Check asks for the domains. A key that may only send is told so, which proves it valid.
func (r *resend) Check(ctx context.Context) error {
	_, err := r.account(ctx)
	return err
}

// account asks for the domains, https://resend.com/docs/api-reference/domains/list-domains
func (r *resend) account(ctx context.Context) (*httpAnswer, error) {
	a, err := r.client.do(ctx, &httpRequest{method: "GET", path: "/domains", auth: r.auth()})
	if err != nil {
		return nil, err
	}
	w := resendWords(a)
	if a.status == 200 && a.readErr == nil && json.Valid(a.body) || a.status == 401 && w.name == "restricted_api_key" {
		return a, nil
	}
	if a.status == 200 {
		return a, &Error{Class: Account, Status: 200, Err: errors.New("the answer is not from Resend; check base_url")}
	}
	e, _ := classify(a, w, resendRules)
	e.Err = r.client.redacted(e.Err)
	return a, e
}

// resendLevels: https://resend.com/docs/dashboard/domains/introduction
var resendLevels = map[string]Level{"verified": Fine, "partially_verified": Warn}

// Probe tells of key and domains.
func (r *resend) Probe(ctx context.Context, domains []string) []Finding {
	return r.client.probe(ctx, r.account, func(a *httpAnswer) []Finding {
		if a.status != 200 {
			return []Finding{fine("key", "valid; it may only send"), fine("domain", "a key that may only send is not told which domains are verified")}
		}
		var got struct {
			More bool `json:"has_more"`
			Data []struct{ Name, Status string }
		}
		if json.Unmarshal(a.body, &got) != nil {
			return []Finding{fine("key", "valid"), {"domain", Warn, "the list of domains cannot be read", ""}}
		}
		var known []apiDomain
		for _, d := range got.Data {
			level, ok := resendLevels[d.Status]
			if !ok {
				level = Fail
			}
			known = append(known, apiDomain{apiLine(d.Name), apiLine(d.Status), level})
		}
		list := []Finding{fine("key", "valid")}
		// The domain of From must be one of these exactly.
		return append(list, domainFindings(domains, known, !got.More, Fail, "add it and its DNS records at https://resend.com/domains")...)
	})
}

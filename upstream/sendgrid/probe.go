package sendgrid

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Account asks for the scopes, https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions
func (s *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := s.get(ctx, "/v3/scopes")
	if err != nil {
		return a, err
	}
	scopes := scopesOf(a)
	if scopes == nil {
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: errors.New("the answer is not from SendGrid; check base_url")}
	}
	if !slices.Contains(scopes, "mail.send") {
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: &upstream.ScopeError{Scope: "mail.send", Hint: "grant it the permission Mail Send"}}
	}
	return a, nil
}

func (s *provider) get(ctx context.Context, path string) (*api.Answer, error) {
	a, err := s.client.Do(ctx, &api.Request{Method: "GET", Path: path, Header: []string{"Accept", "application/json"}})
	if err != nil {
		return nil, err
	}
	if a.Status != 200 {
		e, _ := api.Classify(a, problemOf(a), rules)
		return a, e
	}
	return a, nil
}

// scopesOf reads the scopes; nil: the answer has none.
func scopesOf(a *api.Answer) []string {
	var got struct{ Scopes []string }
	if json.Unmarshal(a.Body, &got) != nil {
		return nil
	}
	return got.Scopes
}

// domainsPath lists authenticated domains,
// https://www.twilio.com/docs/sendgrid/api-reference/domain-authentication/list-all-authenticated-domains
const domainsPath = "/v3/whitelabel/domains?limit=50"

// Findings reads what the key may do, and which domains are verified.
func (s *provider) Findings(ctx context.Context, a *api.Answer, domains []string) []upstream.Finding {
	list := []upstream.Finding{upstream.Finef("key", "valid, and may send")}
	if s.sandbox {
		list = append(list, upstream.Finding{Name: "sandbox", Level: upstream.Warn, Text: "SendGrid checks mail and sends none of it", Hint: "remove sandbox = true"})
	}
	if !slices.Contains(scopesOf(a), "whitelabel.read") {
		return append(list, upstream.Finef("domain", "this key is not told which domains are authenticated: it lacks the scope whitelabel.read"))
	}
	a, err := s.get(ctx, domainsPath)
	var got []struct {
		Domain string
		Valid  bool
	}
	if err == nil {
		err = json.Unmarshal(a.Body, &got)
	}
	if err != nil {
		return append(list, upstream.Finding{Name: "domain", Level: upstream.Warn, Text: "the list of domains cannot be read: " + err.Error()})
	}
	var known []api.Domain
	for _, d := range got {
		k := api.Domain{Name: api.Line(d.Domain), Status: "authenticated", Level: upstream.Fine}
		if !d.Valid {
			k.Status, k.Level = "not authenticated yet", upstream.Fail
		}
		known = append(known, k)
	}
	// Single addresses may be verified without their domain.
	return append(list, api.DomainFindings(domains, known, len(got) < 50, upstream.Warn, "authenticate it at https://app.sendgrid.com/settings/sender_auth")...)
}

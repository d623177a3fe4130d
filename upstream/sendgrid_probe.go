package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
)

// Check asks what the key may do.
func (s *sendgrid) Check(ctx context.Context) error {
	_, err := s.account(ctx)
	return err
}

// account asks for the scopes, https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions
func (s *sendgrid) account(ctx context.Context) (*httpAnswer, error) {
	a, err := s.get(ctx, "/v3/scopes")
	if err != nil {
		return a, err
	}
	scopes := sendgridScopes(a)
	if scopes == nil {
		return a, &Error{Class: Account, Status: 200, Err: errors.New("the answer is not from SendGrid; check base_url")}
	}
	if !slices.Contains(scopes, "mail.send") {
		return a, &Error{Class: Account, Status: 200, Err: errNoSendScope}
	}
	return a, nil
}

func (s *sendgrid) get(ctx context.Context, path string) (*httpAnswer, error) {
	a, err := s.client.do(ctx, &httpRequest{method: "GET", path: path, auth: s.auth(), header: []string{"Accept", "application/json"}})
	if err != nil {
		return nil, err
	}
	if a.status != 200 {
		e, _ := classify(a, sendgridWords(a), sendgridRules)
		e.Err = s.client.redacted(e.Err)
		return a, e
	}
	return a, nil
}

// sendgridScopes reads the scopes; nil: the answer has none.
func sendgridScopes(a *httpAnswer) []string {
	var got struct{ Scopes []string }
	if json.Unmarshal(a.body, &got) != nil {
		return nil
	}
	return got.Scopes
}

// sendgridDomains lists authenticated domains,
// https://www.twilio.com/docs/sendgrid/api-reference/domain-authentication/list-all-authenticated-domains
const sendgridDomains = "/v3/whitelabel/domains?limit=50"

// Probe tells of key and domains.
func (s *sendgrid) Probe(ctx context.Context, domains []string) []Finding {
	return s.client.probe(ctx, s.account, func(a *httpAnswer) []Finding {
		list := []Finding{fine("key", "valid, and may send")}
		if s.sandbox {
			list = append(list, Finding{"sandbox", Warn, "SendGrid checks mail and sends none of it", "remove sandbox = true"})
		}
		if !slices.Contains(sendgridScopes(a), "whitelabel.read") {
			return append(list, fine("domain", "this key is not told which domains are authenticated: it lacks the scope whitelabel.read"))
		}
		a, err := s.get(ctx, sendgridDomains)
		var got []struct {
			Domain string
			Valid  bool
		}
		if err == nil {
			err = json.Unmarshal(a.body, &got)
		}
		if err != nil {
			return append(list, Finding{"domain", Warn, "the list of domains cannot be read: " + err.Error(), ""})
		}
		var known []apiDomain
		for _, d := range got {
			k := apiDomain{apiLine(d.Domain), "authenticated", Fine}
			if !d.Valid {
				k.status, k.level = "not authenticated yet", Fail
			}
			known = append(known, k)
		}
		// Single addresses may be verified without their domain.
		return append(list, domainFindings(domains, known, len(got) < 50, Warn, "authenticate it at https://app.sendgrid.com/settings/sender_auth")...)
	})
}

package brevo

import (
	"context"
	"encoding/json"
	"errors"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// account is what is read of https://developers.brevo.com/reference/get-account
type account struct {
	Email string
	Plan  []struct {
		Type        string
		CreditsType string
		Credits     float64
	}
	Relay *struct{ Enabled bool }
}

// Account asks for the account.
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := p.client.Do(ctx, &api.Request{Method: "GET", Path: "/v3/account", Header: []string{"Accept", "application/json"}})
	if err != nil {
		return nil, err
	}
	var got account
	if a.Status == 200 && a.ReadErr == nil && json.Unmarshal(a.Body, &got) == nil && got.Email != "" {
		return a, nil
	}
	if a.Status == 200 {
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: errors.New("the answer is not from Brevo; check base_url")}
	}
	e, _ := api.Classify(a, problemOf(a), rules)
	return a, e
}

// Findings reads what is left of the plan, and asks which domains are authenticated.
func (p *provider) Findings(ctx context.Context, a *api.Answer, domains []string) []upstream.Finding {
	var got account
	_ = json.Unmarshal(a.Body, &got) // Account has read it
	list := []upstream.Finding{upstream.Finef("key", "valid")}
	for _, plan := range got.Plan {
		switch {
		case plan.CreditsType != "sendLimit" || plan.Type == "sms":
		case plan.Credits < 1:
			list = append(list, upstream.Finding{Name: "account", Level: upstream.Warn, Text: "no credits are left of the plan " + api.Line(plan.Type),
				Hint: "mail waits until there are some, or goes to the next upstream of its route"})
		default:
			list = append(list, upstream.Finef("account", "%.0f credits are left of the plan %s", plan.Credits, api.Line(plan.Type)))
		}
	}
	if got.Relay != nil && !got.Relay.Enabled {
		list = append(list, upstream.Finding{Name: "account", Level: upstream.Fail, Text: "sending of transactional mail is not activated",
			Hint: "ask Brevo's support to activate it"})
	}
	return append(list, p.domains(ctx, domains)...)
}

// domains asks for https://developers.brevo.com/reference/get-domains
func (p *provider) domains(ctx context.Context, domains []string) []upstream.Finding {
	a, err := p.client.Do(ctx, &api.Request{Method: "GET", Path: "/v3/senders/domains", Header: []string{"Accept", "application/json"}})
	if err != nil {
		return []upstream.Finding{{Name: "domain", Level: upstream.Warn, Text: err.Error()}}
	}
	var got struct {
		Pages   int `json:"total_pages"`
		Domains []struct {
			Name          string `json:"domain_name"`
			Authenticated bool
		}
	}
	if a.Status != 200 || json.Unmarshal(a.Body, &got) != nil {
		return []upstream.Finding{{Name: "domain", Level: upstream.Warn, Text: "the list of domains cannot be read: " + a.Words(problemOf(a))}}
	}
	var known []api.Domain
	for _, d := range got.Domains {
		one := api.Domain{Name: api.Line(d.Name), Status: "authenticated", Level: upstream.Fine}
		if !d.Authenticated {
			one.Status, one.Level = "not authenticated", upstream.Warn // a sender can be verified alone
		}
		known = append(known, one)
	}
	return api.DomainFindings(domains, known, got.Pages <= 1, upstream.Warn,
		"authenticate it at https://app.brevo.com/senders/domain/list, or verify the sender: Brevo takes mail from others and drops it")
}

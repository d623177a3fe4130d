package mailgun

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Account asks for the domain, https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/domains
// Keys that may only send are refused there; with an empty form such a key gets the list of missing fields, a
// wrong one that it is wrong, and nothing can be sent.
func (g *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := g.client.Do(ctx, &api.Request{Method: "GET", Path: "/v4/domains/" + url.PathEscape(g.domain)})
	if err != nil {
		return nil, err
	}
	if a.Status == 200 {
		if problemOf(a).Own || json.Valid(a.Body) {
			return a, nil
		}
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: errors.New("the answer is not from Mailgun; check base_url and domain")}
	}
	if a.Status == 401 || a.Status == 403 {
		empty := api.Payload{{Literal: []byte("--empty--\r\n")}}
		a, err = g.client.Do(ctx, &api.Request{Method: "POST", Path: g.path(), Body: empty,
			Header: []string{"Content-Type", "multipart/form-data; boundary=empty"}})
		if err != nil {
			return nil, err
		}
		if a.Status == 400 {
			return a, nil
		}
	}
	e, _ := api.Classify(a, problemOf(a), rules)
	return a, e
}

// Findings reads what the key may do, and which domains are verified.
func (g *provider) Findings(_ context.Context, a *api.Answer, _ []string) []upstream.Finding {
	if a.Status != 200 {
		return []upstream.Finding{upstream.Finef("key", "valid; it may only send"), upstream.Finef("domain", "a key that may only send is not told whether %s is verified", g.domain)}
	}
	var got struct{ Domain struct{ State string } }
	d := api.Domain{Name: g.domain, Status: "in an unknown state", Level: upstream.Warn}
	if json.Unmarshal(a.Body, &got) == nil && got.Domain.State != "" {
		d.Status, d.Level = api.Line(got.Domain.State), upstream.Fail // unverified, disabled
		if d.Status == "active" {
			d.Level = upstream.Fine
		}
	}
	return []upstream.Finding{upstream.Finef("key", "valid"), d.Finding("add its DNS records at https://app.mailgun.com/sending/domains, and take the region it was made in")}
}

// Probe adds what a domain that the account does not have, and test mode, mean.
func (u *withDomain) Probe(ctx context.Context, domains []string) []upstream.Finding {
	list := u.Upstream.Probe(ctx, domains)
	for i := range list {
		if list[i].Name == "reach" && list[i].Hint == "" { // 404
			list[i].Name, list[i].Hint = "domain", "domain must be one of this account's, and region the one it was made in"
		}
	}
	if u.test {
		list = append(list, upstream.Finding{Name: "test_mode", Level: upstream.Warn, Text: "Mailgun takes mail and delivers none of it", Hint: "remove test_mode = true"})
	}
	return list
}

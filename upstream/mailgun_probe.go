package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
)

// Check asks for the domain.
func (g *mailgun) Check(ctx context.Context) error {
	_, err := g.account(ctx)
	return err
}

// account asks for the domain, https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/domains
// Keys that may only send are refused there; with an empty form such a key is told what is missing, a
// wrong one that it is wrong, and nothing can be sent.
func (g *mailgun) account(ctx context.Context) (*httpAnswer, error) {
	a, err := g.client.do(ctx, &httpRequest{method: "GET", path: "/v4/domains/" + url.PathEscape(g.domain), auth: g.auth()})
	if err != nil {
		return nil, err
	}
	if a.status == 200 {
		if mailgunWords(a).own || json.Valid(a.body) {
			return a, nil
		}
		return a, &Error{Class: Account, Status: 200, Err: errors.New("the answer is not from Mailgun; check base_url and domain")}
	}
	if a.status == 401 || a.status == 403 {
		empty := payload{{literal: []byte("--empty--\r\n")}}
		a, err = g.client.do(ctx, &httpRequest{method: "POST", path: g.path(), auth: g.auth(), body: empty,
			header: []string{"Content-Type", "multipart/form-data; boundary=empty"}})
		if err != nil {
			return nil, err
		}
		if a.status == 400 {
			return a, nil
		}
	}
	e, _ := classify(a, mailgunWords(a), mailgunRules)
	e.Err = g.client.redacted(e.Err)
	return a, e
}

// Probe tells of key and domain.
func (g *mailgun) Probe(ctx context.Context, _ []string) []Finding {
	list := g.client.probe(ctx, g.account, func(a *httpAnswer) []Finding {
		if a.status != 200 {
			return []Finding{fine("key", "valid; it may only send"), fine("domain", "a key that may only send is not told whether %s is verified", g.domain)}
		}
		var got struct{ Domain struct{ State string } }
		d := apiDomain{g.domain, "in a state that the answer does not tell", Warn}
		if json.Unmarshal(a.body, &got) == nil && got.Domain.State != "" {
			d.status, d.level = apiLine(got.Domain.State), Fail // unverified, disabled
			if d.status == "active" {
				d.level = Fine
			}
		}
		return []Finding{fine("key", "valid"), d.finding("add its DNS records at https://app.mailgun.com/sending/domains, and take the region it was made in")}
	})
	for i := range list {
		if list[i].Name == "reach" && list[i].Hint == "" { // 404
			list[i].Name, list[i].Hint = "domain", "domain must be one of this account's, and region the one it was made in"
		}
	}
	if g.test {
		list = append(list, Finding{"test_mode", Warn, "Mailgun takes mail and delivers none of it", "remove test_mode = true"})
	}
	return list
}

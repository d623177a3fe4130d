package ses

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Account asks for the account, https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html.
// Credentials that may only send are refused there by name.
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := p.client.Do(ctx, &api.Request{Method: "GET", Path: "/v2/email/account"})
	if err != nil {
		return nil, err
	}
	w := problemOf(a)
	if a.Status == 200 && json.Valid(a.Body) || w.Name == "AccessDeniedException" && strings.Contains(w.Message, "not authorized to perform") {
		return a, nil
	}
	if a.Status == 200 {
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: errors.New("the answer is not from SES; check region and base_url")}
	}
	e, _ := api.Classify(a, w, rules)
	return a, e
}

// account is what SES says of an account.
type account struct {
	ProductionAccessEnabled, SendingEnabled bool
	EnforcementStatus                       string
	SendQuota                               struct{ Max24HourSend, MaxSendRate, SentLast24Hours float64 }
}

// Findings reads what the account may do, and asks for the domains one by one.
func (p *provider) Findings(ctx context.Context, a *api.Answer, domains []string) []upstream.Finding {
	if a.Status != 200 {
		return []upstream.Finding{upstream.Finef("key", "valid; it may only send"), upstream.Finef("domain", "credentials that may only send are not told which domains are verified")}
	}
	var got account
	if err := json.Unmarshal(a.Body, &got); err != nil {
		return []upstream.Finding{{Name: "account", Level: upstream.Warn, Text: "the account cannot be read"}}
	}
	list := []upstream.Finding{upstream.Finef("key", "valid")}
	quota := fmt.Sprintf("%.0f of %.0f mails in 24 hours, %.0f a second", got.SendQuota.SentLast24Hours, got.SendQuota.Max24HourSend, got.SendQuota.MaxSendRate)
	switch {
	case !got.SendingEnabled:
		list = append(list, upstream.Finding{Name: "account", Level: upstream.Fail, Text: "sending is switched off", Hint: "the SES console says why"})
	case !got.ProductionAccessEnabled:
		list = append(list, upstream.Finding{Name: "account", Level: upstream.Warn, Text: "the account is in the sandbox: only verified addresses get mail; " + quota, Hint: "request production access in the SES console"})
	default:
		list = append(list, upstream.Finef("account", "%s", quota))
	}
	for _, domain := range domains {
		if !strings.HasPrefix(domain, "*") {
			list = append(list, p.identityFinding(ctx, domain))
		}
	}
	return list
}

// identityFinding asks for one domain, https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetEmailIdentity.html
func (p *provider) identityFinding(ctx context.Context, domain string) upstream.Finding {
	const hint = "verify the domain in the SES console of this region"
	a, err := p.client.Do(ctx, &api.Request{Method: "GET", Path: "/v2/email/identities/" + url.PathEscape(domain)})
	var got struct{ VerifiedForSendingStatus bool }
	switch {
	case err != nil:
		return upstream.Finding{Name: "domain", Level: upstream.Warn, Text: err.Error()}
	case a.Status == 404:
		return upstream.Finding{Name: "domain", Level: upstream.Fail, Text: "the account does not have " + domain, Hint: hint}
	case a.Status != 200 || json.Unmarshal(a.Body, &got) != nil:
		return upstream.Finding{Name: "domain", Level: upstream.Warn, Text: domain + " could not be looked up: " + a.Words(problemOf(a))}
	case !got.VerifiedForSendingStatus:
		return api.Domain{Name: domain, Status: "not verified", Level: upstream.Fail}.Finding(hint)
	}
	return api.Domain{Name: domain, Status: "verified", Level: upstream.Fine}.Finding(hint)
}

package ses

import (
	"context"
	"net/url"

	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

// listedKinds are the reasons of the account's list, https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_ListSuppressedDestinations.html
var listedKinds = map[string]upstream.EventKind{"BOUNCE": upstream.Bounced, "COMPLAINT": upstream.Complained}

func (p *provider) lists() *events.Reader {
	return &events.Reader{Client: p.client, Problem: problemOf, Rules: rules, Denied: []int{403},
		Scope: upstream.ScopeError{Scope: "ses:ListSuppressedDestinations", Hint: "allow it and ses:DeleteSuppressedDestination to the access key or role"}}
}

// Suppressed implements upstream.Suppressor.
func (p *provider) Suppressed(ctx context.Context, after string) (list []upstream.SuppressedAddress, next string, err error) {
	var got struct {
		List []struct{ EmailAddress, Reason, LastUpdateTime events.Text } `json:"SuppressedDestinationSummaries"`
		Next string                                                       `json:"NextToken"`
	}
	if err := p.lists().Read(ctx, events.Get("/v2/email/suppression/addresses", "PageSize", "1000", "NextToken", after), &got); err != nil {
		return nil, "", err
	}
	for _, e := range got.List {
		list = append(list, events.Listed(listedKinds, e.Reason, e.EmailAddress, e.LastUpdateTime, ""))
	}
	return list, got.Next, nil
}

// Unsuppress implements upstream.Suppressor.
func (p *provider) Unsuppress(ctx context.Context, address string) error {
	return p.lists().Delete(ctx, "/v2/email/suppression/addresses/"+url.PathEscape(address))
}

package sparkpost

import (
	"cmp"
	"context"
	"net/url"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// sources are SparkPost's reasons, https://developers.sparkpost.com/api/suppression-list/
var sources = map[string]upstream.EventKind{
	"Bounce Rule": upstream.Bounced, "Spam Complaint": upstream.Complained, "Unsubscribe Link": upstream.Unsubscribed, "List Unsubscribe": upstream.Unsubscribed,
}

func (p *provider) lists() *events.Reader {
	problem := func(a *api.Answer) api.Problem { _, problem := read(a); return problem }
	return &events.Reader{Client: p.client, Problem: problem, Rules: rules, Denied: []int{403},
		Scope: upstream.ScopeError{Scope: "Suppression Lists: Read/Write", Hint: "give the key the permission at https://app.sparkpost.com/account/api-keys"}}
}

// Suppressed implements upstream.Suppressor.
func (p *provider) Suppressed(ctx context.Context, after string) (list []upstream.SuppressedAddress, next string, err error) {
	var got struct {
		Results []struct{ Recipient, Source, Description, Created events.Text }
		Links   []struct{ Href, Rel string }
	}
	if err := p.lists().Read(ctx, events.Get("/api/v1/suppression-list", "cursor", cmp.Or(after, "initial"), "per_page", "1000"), &got); err != nil {
		return nil, "", err
	}
	for _, e := range got.Results {
		list = append(list, events.Listed(sources, e.Source, e.Recipient, e.Created, e.Description))
	}
	for _, l := range got.Links {
		if u, err := url.Parse(l.Href); err == nil && l.Rel == "next" && len(got.Results) > 0 {
			next = u.Query().Get("cursor")
		}
	}
	return list, next, nil
}

// Unsuppress implements upstream.Suppressor.
func (p *provider) Unsuppress(ctx context.Context, address string) error {
	return p.lists().Delete(ctx, "/api/v1/suppression-list/"+url.PathEscape(address))
}

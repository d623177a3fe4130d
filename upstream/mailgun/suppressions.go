package mailgun

import (
	"context"
	"net/url"

	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

// listed are the lists that Mailgun keeps for a domain, https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/bounces
var listed = []struct {
	name string
	kind upstream.EventKind
}{{"bounces", upstream.Bounced}, {"complaints", upstream.Complained}, {"unsubscribes", upstream.Unsubscribed}}

func (g *provider) lists() *events.Reader {
	return &events.Reader{Client: g.client, Problem: problemOf, Rules: rules, Denied: []int{401, 403},
		Scope: upstream.ScopeError{Scope: "of the role Developer", Hint: "a key that may only send is not shown the lists of suppressed addresses"}}
}

func (g *provider) listPath(name string) string {
	return "/v3/" + url.PathEscape(g.domain) + "/" + name
}

// Suppressed implements upstream.Suppressor.
func (g *provider) Suppressed(ctx context.Context, after string) ([]upstream.SuppressedAddress, string, error) {
	lists := events.Lists{Count: len(listed), Page: func(ctx context.Context, list int, token string) (found []upstream.SuppressedAddress, next string, err error) {
		var got struct {
			Items []struct {
				Address, Error events.Text
				Created        events.Text `json:"created_at"`
			}
			Paging struct{ Next string }
		}
		q := events.Get(g.listPath(listed[list].name), "limit", "1000")
		if token != "" {
			q = events.Get(g.listPath(listed[list].name) + "?" + token)
		}
		if err := g.lists().Read(ctx, q, &got); err != nil {
			return nil, "", err
		}
		for _, e := range got.Items {
			found = append(found, upstream.SuppressedAddress{Address: string(e.Address), Kind: listed[list].kind, At: events.Moment(e.Created), Words: events.OneLine(string(e.Error))})
		}
		if u, err := url.Parse(got.Paging.Next); err == nil && len(got.Items) > 0 { // of another host, perhaps: its query alone counts
			next = u.RawQuery
		}
		return found, next, nil
	}}
	return lists.Suppressed(ctx, after)
}

// Unsuppress implements upstream.Suppressor.
func (g *provider) Unsuppress(ctx context.Context, address string) error {
	for _, list := range listed {
		if err := g.lists().Delete(ctx, g.listPath(list.name)+"/"+url.PathEscape(address)); err != nil {
			return err
		}
	}
	return nil
}

package resend

import (
	"context"
	"net/url"

	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

// lists reads Resend's list, which is one for the account, https://resend.com/docs/api-reference/suppressions/list-suppressions
func (r *provider) lists() *events.Reader {
	return &events.Reader{Client: r.client, Problem: problemOf, Rules: rules, Denied: []int{401, 403},
		Scope: upstream.ScopeError{Scope: "full_access", Hint: "a key that may only send is not shown the list of suppressed addresses"}}
}

// origins are Resend's reasons.
var origins = map[string]upstream.EventKind{"bounce": upstream.Bounced, "complaint": upstream.Complained}

// Suppressed implements upstream.Suppressor.
func (r *provider) Suppressed(ctx context.Context, after string) (list []upstream.SuppressedAddress, next string, err error) {
	var got struct {
		More bool `json:"has_more"`
		Data []struct {
			ID, Email, Origin events.Text
			Created           events.Text `json:"created_at"`
		}
	}
	if err := r.lists().Read(ctx, events.Get("/suppressions", "limit", "100", "after", after), &got); err != nil {
		return nil, "", err
	}
	for _, e := range got.Data {
		list = append(list, events.Listed(origins, e.Origin, e.Email, e.Created, ""))
		next = string(e.ID)
	}
	if !got.More {
		next = ""
	}
	return list, next, nil
}

// Unsuppress implements upstream.Suppressor.
func (r *provider) Unsuppress(ctx context.Context, address string) error {
	return r.lists().Delete(ctx, "/suppressions/"+url.PathEscape(address))
}

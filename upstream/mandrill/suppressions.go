package mandrill

import (
	"context"
	"errors"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// listedKinds are Mandrill's reasons, https://mailchimp.com/developer/transactional/api/rejections/. Its answer has the first
// 1000 addresses, and there is no other page.
var listedKinds = map[string]upstream.EventKind{"hard-bounce": upstream.Bounced, "spam": upstream.Complained, "unsub": upstream.Unsubscribed}

func (p *provider) lists() *events.Reader {
	return &events.Reader{Client: p.client, Problem: problemOf, Rules: rules}
}

// Suppressed implements upstream.Suppressor. Soft bounces are passed over: they end by themselves.
func (p *provider) Suppressed(ctx context.Context, _ string) (list []upstream.SuppressedAddress, next string, err error) {
	var j api.Object
	j.Secret("key", p.key)
	var got []struct {
		Email, Reason, Detail events.Text
		Created               events.Text `json:"created_at"`
	}
	if err := p.lists().Read(ctx, p.request("/rejects/list.json", j.End()), &got); err != nil {
		return nil, "", err
	}
	for _, e := range got {
		if e.Reason == "soft-bounce" {
			continue
		}
		list = append(list, events.Listed(listedKinds, e.Reason, e.Email, e.Created, e.Detail))
	}
	return list, "", nil
}

// notListed is Mandrill's word for an address that is not on the list.
const notListed = "Invalid_Reject"

// Unsuppress implements upstream.Suppressor.
func (p *provider) Unsuppress(ctx context.Context, address string) error {
	var j api.Object
	j.Secret("key", p.key)
	j.Field("email", address)
	err := p.lists().Read(ctx, p.request("/rejects/delete.json", j.End()), nil)
	var e *upstream.Error
	if errors.As(err, &e) && e.Code == notListed {
		return nil
	}
	return err
}

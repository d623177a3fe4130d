package brevo

import (
	"context"
	"net/url"
	"strconv"

	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

// blockedKinds are Brevo's reasons, https://developers.brevo.com/reference/get-transac-blocked-contacts
var blockedKinds = map[string]upstream.EventKind{
	"hardBounce": upstream.Bounced, "contactFlaggedAsSpam": upstream.Complained,
	"unsubscribedViaMA": upstream.Unsubscribed, "unsubscribedViaEmail": upstream.Unsubscribed, "unsubscribedViaApi": upstream.Unsubscribed,
}

const blockedPage = 100 // addresses; Brevo's most

func (p *provider) lists() *events.Reader {
	return &events.Reader{Client: p.client, Problem: problemOf, Rules: rules}
}

// Suppressed implements upstream.Suppressor.
func (p *provider) Suppressed(ctx context.Context, after string) (list []upstream.SuppressedAddress, next string, err error) {
	var got struct {
		Contacts []struct {
			Email, BlockedAt events.Text
			Reason           struct{ Code, Message events.Text }
		}
	}
	if err := p.lists().Read(ctx, events.Get("/v3/smtp/blockedContacts", "limit", strconv.Itoa(blockedPage), "offset", after), &got); err != nil {
		return nil, "", err
	}
	for _, e := range got.Contacts {
		list = append(list, events.Listed(blockedKinds, e.Reason.Code, e.Email, e.BlockedAt, e.Reason.Message))
	}
	return list, events.NextOffset(after, len(got.Contacts), blockedPage), nil
}

// Unsuppress implements upstream.Suppressor.
func (p *provider) Unsuppress(ctx context.Context, address string) error {
	return p.lists().Delete(ctx, "/v3/smtp/blockedContacts/"+url.PathEscape(address))
}

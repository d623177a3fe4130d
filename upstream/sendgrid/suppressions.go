package sendgrid

import (
	"context"
	"net/url"
	"strconv"

	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

// listed are the lists that SendGrid keeps, https://www.twilio.com/docs/sendgrid/api-reference/suppressions-suppressions.
// Blocks are none of them: mail to these addresses is tried.
var listed = []struct {
	name, removed string // paths: of the list, and of an address on it
	kind          upstream.EventKind
}{
	{"/v3/suppression/bounces", "/v3/suppression/bounces/", upstream.Bounced},
	{"/v3/suppression/invalid_emails", "/v3/suppression/invalid_emails/", upstream.Bounced},
	{"/v3/suppression/spam_reports", "/v3/suppression/spam_reports/", upstream.Complained},
	{"/v3/suppression/unsubscribes", "/v3/asm/suppressions/global/", upstream.Unsubscribed},
}

const listPage = 500 // addresses; SendGrid's most

func (s *provider) reader() *events.Reader {
	return &events.Reader{Client: s.client, Problem: problemOf, Rules: rules, Denied: []int{401, 403},
		Scope: upstream.ScopeError{Scope: "suppression.read", Hint: "give the key the permission Suppressions, with full access where addresses are to be taken off"}}
}

// Suppressed implements upstream.Suppressor.
func (s *provider) Suppressed(ctx context.Context, after string) ([]upstream.SuppressedAddress, string, error) {
	lists := events.Lists{Count: len(listed), Page: func(ctx context.Context, list int, token string) (found []upstream.SuppressedAddress, next string, err error) {
		var got []struct{ Created, Email, Reason, Status events.Text }
		if err := s.reader().Read(ctx, events.Get(listed[list].name, "limit", strconv.Itoa(listPage), "offset", token), &got); err != nil {
			return nil, "", err
		}
		for _, e := range got {
			found = append(found, upstream.SuppressedAddress{Address: string(e.Email), Kind: listed[list].kind, At: events.Moment(e.Created), Words: events.OneLine(string(e.Reason))})
		}
		return found, events.NextOffset(token, len(got), listPage), nil
	}}
	return lists.Suppressed(ctx, after)
}

// Unsuppress implements upstream.Suppressor.
func (s *provider) Unsuppress(ctx context.Context, address string) error {
	for _, list := range listed {
		if err := s.reader().Delete(ctx, list.removed+url.PathEscape(address)); err != nil {
			return err
		}
	}
	return nil
}

package postmark

import (
	"cmp"
	"context"
	"net/url"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// reasonKinds are Postmark's reasons, https://postmarkapp.com/developer/api/suppressions-api. Its answer has all addresses of a
// reason at once.
var reasonKinds = []struct {
	name string
	kind upstream.EventKind
}{{"HardBounce", upstream.Bounced}, {"SpamComplaint", upstream.Complained}, {"ManualSuppression", upstream.Suppressed}}

func (p *provider) lists() *events.Reader {
	return &events.Reader{Client: p.client, Problem: problemOf, Rules: rules}
}

func (p *provider) listPath(verb string) string {
	return "/message-streams/" + url.PathEscape(cmp.Or(p.stream, "outbound")) + "/suppressions/" + verb
}

// Suppressed implements upstream.Suppressor.
func (p *provider) Suppressed(ctx context.Context, after string) ([]upstream.SuppressedAddress, string, error) {
	lists := events.Lists{Count: len(reasonKinds), Page: func(ctx context.Context, list int, _ string) (found []upstream.SuppressedAddress, next string, err error) {
		var got struct {
			Suppressions []struct{ EmailAddress, CreatedAt events.Text }
		}
		if err := p.lists().Read(ctx, events.Get(p.listPath("dump"), "SuppressionReason", reasonKinds[list].name), &got); err != nil {
			return nil, "", err
		}
		for _, e := range got.Suppressions {
			found = append(found, upstream.SuppressedAddress{Address: string(e.EmailAddress), Kind: reasonKinds[list].kind, At: events.Moment(e.CreatedAt)})
		}
		return found, "", nil
	}}
	return lists.Suppressed(ctx, after)
}

// Unsuppress implements upstream.Suppressor. Postmark keeps who has complained.
func (p *provider) Unsuppress(ctx context.Context, address string) error {
	var j api.Object
	j.Field("Suppressions", []map[string]string{{"EmailAddress": address}})
	var got struct {
		Suppressions []struct{ Status, Message string }
	}
	if err := p.lists().Read(ctx, api.PostJSON(p.listPath("delete"), j.End()), &got); err != nil {
		return err
	}
	for _, s := range got.Suppressions {
		if s.Status != "Deleted" {
			return api.Errorf(upstream.Temporary, "", "Postmark answers %s: %s", api.Line(s.Status), api.Line(s.Message))
		}
	}
	return nil
}

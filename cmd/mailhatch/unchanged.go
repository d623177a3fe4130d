package main

import (
	"context"
	"fmt"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
)

// tellChanged says what an action did and, where it did nothing, why that may be.
func (a *app) tellChanged(ctx context.Context, client *api.Client, action api.Action, sel *api.Selection, c *api.Changed, asJSON bool) error {
	if c.Changed == 0 {
		if err := a.knownUpstream(ctx, sel.Upstream); err != nil {
			return err
		}
	}
	if err := a.printChanged(action, sel, c, asJSON); err != nil {
		return err
	}
	if action != api.Retry || c.Changed > 0 && sel.All {
		return nil
	}
	held, err := client.List(ctx, api.Filter{IDs: sel.IDs, State: envelope.Held, Upstream: sel.Upstream, From: sel.From, To: sel.To, Subject: sel.Subject,
		Older: sel.Older, Limit: 1})
	if err != nil || len(held.Messages) == 0 {
		return nil // a hint is all that is missing
	}
	what := held.Messages[0].ID
	if sel.All {
		what = "--all"
	}
	fmt.Fprintf(a.stderr, "hint: held mail is not retried: use mailhatch queue release %s\n", what)
	return nil
}

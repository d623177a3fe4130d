package main

import (
	"context"
	"fmt"
	"slices"

	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
)

// quotaText says what is left of a quota.
func quotaText(q api.Quota) string {
	return fmt.Sprintf("%d of %s left until %s", q.Left, q.Limit, terminal.Clock(q.Until))
}

// quotaOf is what is left of a quota of an upstream, as the running gateway knows it.
type quotaOf struct {
	Upstream string `json:"upstream"`
	Limit    string `json:"limit"`
	Left     *int   `json:"left,omitempty"` // nil: no gateway runs
	left     api.Quota
}

func (q *quotaOf) text() string {
	if q.Left == nil {
		return q.Limit + " (what is left, a running gateway knows)"
	}
	return quotaText(q.left)
}

// addQuotas adds what is left at the upstreams that mail may go to.
func (a *app) addQuotas(ctx context.Context, cfg *config.Config, all []explanation) {
	if !slices.ContainsFunc(cfg.Upstreams, func(u config.Upstream) bool { return len(u.Quota) > 0 }) {
		return
	}
	left := a.quotasLeft(ctx)
	for i := range all {
		x := &all[i]
		for _, name := range x.Via {
			u := cfg.Upstream(name)
			if u == nil {
				continue
			}
			for _, l := range u.Quota {
				q := quotaOf{Upstream: name, Limit: l.String()}
				if known, ok := left[name+" "+q.Limit]; ok {
					q.left, q.Left = known, &known.Left
				}
				x.Quotas = append(x.Quotas, q)
			}
		}
	}
}

// quotasLeft asks the running gateway, if there is one, by upstream and limit.
func (a *app) quotasLeft(ctx context.Context) map[string]api.Quota {
	client, _, err := a.client(ctx)
	if err != nil {
		return nil
	}
	defer client.Close()
	s, err := client.Status(ctx)
	if err != nil {
		return nil
	}
	left := map[string]api.Quota{}
	for _, u := range s.Upstreams {
		for _, q := range u.Quota {
			left[u.Name+" "+q.Limit] = q
		}
	}
	return left
}

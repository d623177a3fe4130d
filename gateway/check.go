package gateway

import (
	"context"
	"slices"
	"time"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/config"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// checkTimeout is for what is asked of one upstream.
const checkTimeout = 30 * time.Second

// check checks an upstream of the config in force; false: there is none of that name.
func (g *Gateway) check(ctx context.Context, name string) (admin.Checked, bool) {
	u := g.current.Load().Upstream(name)
	if u == nil {
		return admin.Checked{}, false
	}
	return Check(ctx, u), true
}

// Check asks an upstream whether it would take mail, in parts if it reports them. No mail is sent.
func Check(ctx context.Context, u *config.Upstream) admin.Checked {
	r := admin.Checked{Name: u.Name, Kind: u.Kind.Name}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	start := time.Now()
	switch c := u.Upstream.(type) {
	case upstream.Prober:
		r.Tried, r.Findings = true, c.Probe(ctx, fromDomains(u))
		for _, f := range r.Findings {
			if f.Level == upstream.Fail && r.Error == "" {
				r.Error = f.Text
			}
		}
	case upstream.Checker:
		r.Tried = true
		if err := c.Check(ctx); err != nil {
			r.Error = err.Error()
		}
	}
	r.Millis = time.Since(start).Milliseconds()
	return r
}

// fromDomains returns the domains that mail to this upstream is from, by the config.
func fromDomains(u *config.Upstream) []string {
	if u.Sender == nil {
		return nil
	}
	domains := slices.Clone(u.Sender.Domains)
	if _, own, ok := mime.SplitAddress(u.Sender.Rewrite.Addr); ok && !slices.Contains(domains, own) {
		domains = append(domains, own)
	}
	return domains
}

package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// checkTimeout is for what is asked of one upstream.
const checkTimeout = 30 * time.Second

// check checks an upstream of the config in force; false: there is none of that name.
func (g *Gateway) check(ctx context.Context, name string) (api.Checked, bool) {
	u := g.current.Load().Upstream(name)
	if u == nil {
		return api.Checked{}, false
	}
	return Check(ctx, u), true
}

// Check asks an upstream whether it would take mail, in parts if it reports them. No mail is sent.
func Check(ctx context.Context, u *config.Upstream) api.Checked {
	r := api.Checked{Name: u.Name, Kind: u.Kind.Name}
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
	if f, ok := u.Upstream.(upstream.Feedback); ok && r.Tried {
		r.Findings = append(r.Findings, eventFindings(ctx, f)...)
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

// eventFindings says whether later events come as the settings want them.
func eventFindings(ctx context.Context, f upstream.Feedback) (list []upstream.Finding) {
	l := f.Listening()
	if l.Every > 0 {
		finding := upstream.Finef("events", "the provider's log can be read")
		if _, err := f.Poll(ctx, upstream.Ask{Oldest: time.Now()}); err != nil {
			finding = upstream.Finding{Name: "events", Level: upstream.Warn, Text: "the provider's log cannot be read: " + err.Error()}
			var scope *upstream.ScopeError
			if errors.As(err, &scope) {
				finding.Hint = scope.Hint
			}
		}
		list = append(list, finding)
	}
	hooker, ok := f.(upstream.Hooker)
	switch {
	case !l.Webhook:
	case l.URL == "":
		list = append(list, upstream.Finef("webhook", "url of its events is not set: whether the provider has the address is not looked at"))
	case ok:
		list = append(list, hooker.Hook(ctx, l.URL))
	default:
		list = append(list, upstream.Finef("webhook", "the provider does not show which addresses it has; give it %s by hand", upstream.RedactURL(l.URL)))
	}
	return list
}

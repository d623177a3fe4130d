package config

import (
	"cmp"
	"slices"

	"mailhatch/gateway/alert"
	"mailhatch/gateway/canary"
	"mailhatch/upstream"
)

// canary checks which canaries are sent, and fills in what the config leaves out.
func (c *checker) canary(cfg *Config, names []string) canary.Settings {
	s := c.file.Canary
	given := func(key string) bool { _, ok := c.lines["canary."+key]; return ok }
	c.keyErrors("canary", s.Check(given, names))
	if !s.IsOn() || hasBadKey(c.bad, "canary") {
		return s
	}
	s.From = cmp.Or(s.From, cfg.Identity.DefaultFrom.Addr, "canary@"+cfg.Identity.Domain)
	if s.Upstreams == nil {
		for i := range cfg.Upstreams {
			if u := &cfg.Upstreams[i]; u.Kind.Setup != nil {
				s.Upstreams = append(s.Upstreams, u.Name)
			}
		}
	}
	if len(s.Upstreams) == 0 {
		c.warn("canary", "none is sent: the upstreams take no mail out of this machine")
	}
	if !slices.ContainsFunc(c.file.Alert, func(a alert.Settings) bool { return slices.Contains(a.On, alert.Canary) }) {
		c.warn("canary", `no alert reports a canary that does not arrive: no [[alert]] has on = ["canary"]`)
	}
	for _, name := range s.Upstreams {
		u := cfg.Upstream(name)
		if u == nil {
			continue
		}
		if f, ok := u.Upstream.(upstream.Feedback); ok && !f.Listening().Webhook && f.Listening().Every >= s.Within.Duration {
			c.warn("canary.within", "is not longer than every of [upstream.%s.events], %s: what arrives is known too late", name, f.Listening().Every)
		}
	}
	return s
}

package config

import (
	"fmt"

	"mailhatch/gateway/identity"
	"mailhatch/gateway/route"
)

// rewriteTable is one [[rewrite]].
type rewriteTable struct {
	route.Rewrite
	SetFrom string `toml:"set_from"`
}

// rewrites compiles the rules that change messages. Their addresses are completed and follow aliases now.
func (c *checker) rewrites(cfg *Config) *route.Rewrites {
	rules := make([]route.Rewrite, len(c.file.Rewrite))
	for i, t := range c.file.Rewrite {
		path, r := indexPath("rewrite", i), &rules[i]
		*r = t.Rewrite
		r.RedirectTo = c.resolve(cfg, path+".redirect_to", r.RedirectTo)
		r.AddBcc = c.resolve(cfg, path+".add_bcc", r.AddBcc)
		if t.SetFrom != "" {
			from, err := identity.ParseMailbox(t.SetFrom)
			if err != nil {
				c.report(path+".set_from", err.Error(), `write "noreply@example.com" or "App <noreply@example.com>"`)
			}
			r.SetFrom = from
		}
		if r.SetEnvelopeFrom != "" {
			if problem := identity.CheckAddress(r.SetEnvelopeFrom); problem != "" {
				c.report(path+".set_envelope_from", fmt.Sprintf("%q %s", r.SetEnvelopeFrom, problem), `write "bounces@example.com"`)
			}
			r.SetEnvelopeFrom = cfg.Identity.Qualify(r.SetEnvelopeFrom)
		}
	}
	table, err := route.CompileRewrites(rules)
	c.ruleErrors("rewrite", err)
	return table
}

// resolve returns the addresses behind names of the config.
func (c *checker) resolve(cfg *Config, path string, names []string) []string {
	var all []string
	for i, name := range names {
		if problem := identity.CheckAddress(name); problem != "" {
			c.report(indexPath(path, i), fmt.Sprintf("%q %s", name, problem), `write "ann@example.com"`)
			continue
		}
		all = append(all, cfg.Aliases.Resolve(cfg.Identity, name)...)
	}
	return all
}

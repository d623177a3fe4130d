package config

import (
	"fmt"

	"mailhatch/gateway/identity"
	"mailhatch/gateway/route"
)

// rewriteTable is one [[rewrite]].
type rewriteTable struct {
	Name string `toml:"name"`
	matchTable

	RemoveHeader    []string            `toml:"remove_header"`
	SetHeader       map[string]string   `toml:"set_header"`
	AddHeader       map[string][]string `toml:"add_header"`
	SetFrom         string              `toml:"set_from"`
	SubjectPrefix   string              `toml:"subject_prefix"`
	SetEnvelopeFrom string              `toml:"set_envelope_from"`
	RedirectTo      []string            `toml:"redirect_to"`
	AddBcc          []string            `toml:"add_bcc"`
}

// rewrites compiles the rules that change messages. Their addresses are completed and follow aliases now.
func (c *checker) rewrites(cfg *Config) *route.Rewrites {
	rules := make([]route.Rewrite, len(c.file.Rewrite))
	undecoded := make([]bool, len(rules))
	for i := range c.file.Rewrite {
		path, t := indexPath("rewrite", i), &c.file.Rewrite[i]
		rules[i] = route.Rewrite{
			Name: t.Name, Match: t.match(), RemoveHeader: t.RemoveHeader, SetHeader: t.SetHeader, AddHeader: t.AddHeader,
			SubjectPrefix: t.SubjectPrefix, RedirectTo: c.resolve(cfg, path+".redirect_to", t.RedirectTo),
			AddBcc: c.resolve(cfg, path+".add_bcc", t.AddBcc),
		}
		if t.SetFrom != "" {
			from, err := identity.ParseMailbox(t.SetFrom)
			if err != nil {
				c.report(path+".set_from", err.Error(), `write "noreply@example.com" or "App <noreply@example.com>"`)
			}
			rules[i].SetFrom = from
		}
		if t.SetEnvelopeFrom != "" {
			if problem := identity.CheckAddress(t.SetEnvelopeFrom); problem != "" {
				c.report(path+".set_envelope_from", fmt.Sprintf("%q %s", t.SetEnvelopeFrom, problem), `write "bounces@example.com"`)
			}
			rules[i].SetEnvelopeFrom = cfg.Identity.Qualify(t.SetEnvelopeFrom)
		}
		undecoded[i] = c.hasBadKey(path)
	}
	table, err := route.CompileRewrites(rules)
	c.ruleErrors("rewrite", err, undecoded)
	return table
}

// resolve gives the addresses behind names of the config.
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

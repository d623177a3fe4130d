package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailhatch/gateway/glob"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/mime/hostname"
)

// rewriteTable is one [[rewrite]].
type rewriteTable struct {
	route.Rewrite
	SetFrom string `toml:"set_from,template"`
}

// rewrites compiles the rules that change messages. Their addresses are completed and follow aliases now.
func (c *checker) rewrites(cfg *Config) *route.Rewrites {
	rules := make([]route.Rewrite, len(c.file.Rewrite))
	for i, t := range c.file.Rewrite {
		path, r := indexPath("rewrite", i), &rules[i]
		*r = t.Rewrite
		r.RedirectTo = c.resolve(cfg, path+".redirect_to", r.RedirectTo)
		r.AddBcc = c.resolve(cfg, path+".add_bcc", r.AddBcc)
		r.SetFrom = c.setFrom(path+".set_from", t.SetFrom)
		if r.SetEnvelopeFrom != "" {
			r.SetEnvelopeFrom = c.mailbox(cfg, path+".set_envelope_from", r.SetEnvelopeFrom, "bounces@example.com")
		}
		r.MapSender = c.mapSender(cfg, path+".map_sender", r.MapSender)
	}
	table, err := route.CompileRewrites(rules, cfg.Hostname)
	c.ruleErrors("rewrite", err)
	return table
}

// setFrom reads set_from. What it has in it for each message differently makes an address only then.
func (c *checker) setFrom(path, text string) mime.Address {
	if text == "" {
		return mime.Address{}
	}
	from, err := identity.ParseMailbox(route.Sample(text))
	if err != nil {
		c.report(path, fmt.Sprintf("%q is not a mail address", text), `write "noreply@example.com" or "App <noreply@example.com>"`)
		return from
	}
	if list, err := mime.ParseAddressList(text); err == nil && len(list) == 1 {
		from = list[0]
	}
	return from
}

// mapSender completes the addresses of map_sender: a local name stands for that of this machine.
func (c *checker) mapSender(cfg *Config, path string, given map[string]string) map[string]string {
	complete := make(map[string]string, len(given))
	for _, pattern := range slices.Sorted(maps.Keys(given)) {
		target := given[pattern]
		if strings.HasPrefix(target, "@") { // as the pattern may be written: the local part stays
			target = "*" + target
		}
		_, mistake := glob.Address(pattern) // told by the rule itself
		if mistake == nil && !strings.Contains(target, "@") && strings.Contains(target, ".") && hostname.Check(target) == nil {
			c.report(joinPath(path, pattern), fmt.Sprintf("%q is a domain, but an address is needed", target), fmt.Sprintf("write %q", "*@"+target))
		}
		target = c.mailbox(cfg, joinPath(path, pattern), target, "*@example.com")
		if !strings.ContainsAny(pattern, "@*?!.<>") {
			pattern = cfg.Identity.Qualify(pattern)
		}
		complete[pattern] = target
	}
	return complete
}

// mailbox checks and completes an address that a rule writes.
func (c *checker) mailbox(cfg *Config, path, text, example string) string {
	if problem := identity.CheckAddress(route.Sample(text)); problem != "" {
		c.report(path, fmt.Sprintf("%q %s", text, problem), fmt.Sprintf("write %q", example))
	}
	return cfg.Identity.Qualify(text)
}

// resolve returns the addresses behind names of the config. An address that differs by message has no alias.
func (c *checker) resolve(cfg *Config, path string, names []string) []string {
	var all []string
	for i, name := range names {
		switch problem := identity.CheckAddress(route.Sample(name)); {
		case problem != "":
			hint := `write "ann@example.com"`
			if items := glob.List(name); len(items) > 1 && strings.Contains(name, ",") {
				hint = glob.WriteList(items)
			}
			c.report(indexPath(path, i), fmt.Sprintf("%q %s", name, problem), hint)
		case !route.IsFixed(name):
			all = append(all, cfg.Identity.Qualify(name))
		default:
			list := cfg.Aliases.Resolve(cfg.Identity, name)
			if len(list) == 0 {
				c.report(indexPath(path, i), fmt.Sprintf("%q is an alias without an address", name), `write "ann@example.com"; to drop mail use a [[route]] with discard = true`)
			}
			all = append(all, list...)
		}
	}
	return all
}

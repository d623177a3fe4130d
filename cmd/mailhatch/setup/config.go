package setup

import (
	"fmt"
	"strings"
)

var tomlQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func tomlString(s string) string { return `"` + tomlQuotes.Replace(s) + `"` }

// config writes the answers as a config.
func (s *setup) config() string {
	var b strings.Builder
	key := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", name, tomlString(value))
		}
	}
	b.WriteString("# Written by mailhatch init. config.example.toml shows every key; mailhatch check finds mistakes.\n")
	key("state_dir", s.stateDir)
	key("run_dir", s.runDir)
	b.WriteString("\n# Programs submit their mail here.\n[[listener]]\n")
	key("address", s.listen)
	b.WriteString("\n# This upstream sends it.\n[upstream.main]\n")
	key("type", s.kind.Name)
	for _, q := range s.kind.Setup {
		if value := s.answers[q.Key]; q.Number && value != "" {
			fmt.Fprintf(&b, "%s = %s\n", q.Key, value)
		} else {
			key(q.Key, value)
		}
	}
	if domain := s.fromDomain(); domain != "" {
		fmt.Fprintf(&b, "# Mail from other domains goes as rewrite_from, with the author in Reply-To.\nfrom_domains = [%s]\n", tomlString(domain))
		key("rewrite_from", s.from)
	}
	b.WriteString("\n# No condition: all mail goes there.\n[[route]]\nvia = [\"main\"]\n")
	if s.root != "" {
		b.WriteString("\n[aliases]\n")
		key("root", s.root)
	}
	if domain := s.fromDomain(); domain != "" {
		b.WriteString("\n# Completes names without a domain, and messages without a From.\n[identity]\n")
		key("domain", domain)
		key("default_from", s.from)
	}
	return b.String()
}

package glob

import (
	"strings"
	"testing"
)

// TestConfigPatterns: what a text of the config matches or, with a space in front, what its hint says.
func TestConfigPatterns(t *testing.T) {
	forms := map[string]func(string) (string, *Mistake){"address": Address, "domain": Domain, "text": Text, "word": Word}
	for _, c := range []struct{ form, text, want string }{
		{"address", "@Example.com", "*@example.com"}, {"address", ".example.com", "*@*.example.com"}, {"address", "@*.example.com", "*@*.example.com"},
		{"address", "*", "*"}, {"address", "*@example.com", "*@example.com"}, {"address", "ann@*", "ann@*"}, {"address", "<>", ""}, {"address", "", ""},
		{"address", "*.example.com", "*.example.com"}, {"address", "ann+*@example.com", "ann+*@example.com"}, {"address", "ann.*@example.com", "ann.*@example.com"},
		{"address", "a|b@example.com", "a|b@example.com"}, {"address", "ann@[192.0.2.1]", "ann@[192.0.2.1]"}, {"address", `"a, b"@example.com`, `"a, b"@example.com`},
		{"address", "o'neil@example.com", "o'neil@example.com"}, {"address", "?@example.com", "?@example.com"}, {"address", "@localhost", "*@localhost"},
		{"address", "{a}@example.com", "{a}@example.com"}, {"address", "*+?@example.com", " not supported"},
		{"address", "example.com", ` write "@example.com" (which is "*@example.com"), for those of its subdomains ".example.com"`}, {"address", "ann", ` "ann@*"`},
		{"address", "*@.example.com", ` ".example.com"`}, {"address", "ann@", ` "@example.com"`}, {"address", "@", ` "@example.com"`}, {"address", ".", ` "@example.com"`},
		{"address", "@.example.com", ` ".example.com"`}, {"address", "a?b", ` whole address`},
		{"address", "a@x.example, b@x.example", ` write ["a@x.example", "b@x.example"]`}, {"address", "a@x.example;b@x.example", ` write ["a@x.example", "b@x.example"]`},
		{"address", "a@x.example b@x.example", ` write ["a@x.example", "b@x.example"]`}, {"address", "ann@x.example ", ` write "ann@x.example"`},
		{"address", "<ann@x.example>", ` write "ann@x.example"`}, {"address", `"Ann" <ann@x.example>`, ` write "ann@x.example"`}, {"address", ",", " "}, {"address", "ann@x.example,", ` write ["ann@x.example"]`},
		{"address", "mailto:ann@x.example", ` write "ann@x.example"`}, {"address", "@x.example.", ` write "@x.example"`}, {"address", "regexp:ann", " not supported"},
		{"address", "/^.*$/", " not supported"}, {"address", "/@example\\.com$/i", " not supported"}, {"address", "^ann@", " not supported"}, {"address", ".*@example.com", " not supported"},
		{"address", `*@example\.com`, " not supported"}, {"address", "(ann|bob)@example.com", " not supported"}, {"address", "[a-z]+@example.com", " not supported"}, {"address", "ann@.*", " not supported"},
		{"address", "ann.+@example.com", " not supported"}, {"address", "(?i)ann@example.com", " not supported"}, {"address", "*@example.com$", " not supported"},
		{"address", "*@[a-z].example", " not supported"}, {"address", "ann@x[12].example", " not supported"}, {"address", "*@[ab]", "*@[ab]"}, {"address", "*@[xy]", " not supported"},
		{"address", "ann@[IPv6:2001:db8::7]", "ann@[ipv6:2001:db8::7]"}, {"address", "*@[192.0.2.*]", "*@[192.0.2.*]"},
		{"address", "a@x.example|b@x.example", ` write ["a@x.example", "b@x.example"]`}, {"address", "*@x.example|y.example", ` no domain has a "|"`},
		{"address", "*@{a,b}.example", " a pattern for each"}, {"address", "{ann,bob}@x.example", " a pattern for each"}, {"address", "*@{a}.example", ` no domain has a "{"`},
		{"address", "root@$myhostname", ` no domain has a "$"`}, {"address", `"a|b@c"@x.example`, `"a|b@c"@x.example`}, {"address", "ann@bücher.example", "ann@bücher.example"},
		{"domain", "@Example.com", "example.com"}, {"domain", "*@example.com", "example.com"}, {"domain", ".example.com", "*.example.com"}, {"domain", "*.example.com", "*.example.com"},
		{"domain", "example.com", "example.com"}, {"domain", "ann@example.com", ` write "example.com"`}, {"domain", "a.example, b.example", ` write ["a.example", "b.example"]`},
		{"domain", `/example\.com/`, " written out"}, {"domain", "@", "@"},
		{"text", "*Invoice, paid*", "*invoice, paid*"}, {"text", "v1.* (a|b) [x] $5 ^ \\", "v1.* (a|b) [x] $5 ^ \\"}, {"text", "/path/to/x?", "/path/to/x?"}, {"text", "/", "/"},
		{"text", "/^.*$/", " not supported"}, {"text", "/urgent/i", " not supported"}, {"text", "^urgent.*", " not supported"}, {"text", ".*urgent.*", " not supported"}, {"text", "(?i)urgent", " not supported"},
		{"word", "app, web", ` write ["app", "web"]`}, {"word", "App Two", "app two"}, {"word", "127.0.0.1:25", "127.0.0.1:25"}, {"word", "^app$", " not supported"},
	} {
		got, mistake := forms[c.form](c.text)
		want, wrong := strings.CutPrefix(c.want, " ")
		switch {
		case wrong && mistake == nil:
			t.Errorf("%s %q: %q", c.form, c.text, got)
		case wrong && !strings.Contains(mistake.Error()+"; "+mistake.Hint, want):
			t.Errorf("%s %q: %s; %s", c.form, c.text, mistake.Problem, mistake.Hint)
		case !wrong && (mistake != nil || got != want):
			t.Errorf("%s %q: %q, %v", c.form, c.text, got, mistake)
		}
	}
}

package route

import (
	"fmt"
	"net/netip"
	"strings"

	"mailhatch/gateway/glob"
	"mailhatch/mime"
)

// patterns is a compiled list of globs or networks.
type patterns struct {
	given         []string // as the config has them, for explanations
	plain, negate []matcher
}

// matcher is one pattern: exactly one of glob and network counts.
type matcher struct {
	given   string
	glob    string // lower case
	network netip.Prefix
}

// ok reports whether the list holds for a thing with these values.
func (p *patterns) ok(values []string) bool {
	_, excluded := find(p.negate, values)
	if excluded {
		return false
	}
	if len(p.plain) == 0 {
		return true
	}
	_, found := find(p.plain, values)
	return found
}

// find returns the first pattern that matches one of the values.
func find(list []matcher, values []string) (string, bool) {
	for _, v := range values {
		v = strings.ToLower(v)
		for i := range list {
			if list[i].match(v) {
				return list[i].given, true
			}
		}
	}
	return "", false
}

func (m *matcher) match(lower string) bool {
	if m.network.IsValid() {
		addr, err := netip.ParseAddr(lower)
		return err == nil && m.network.Contains(addr.Unmap().WithZone(""))
	}
	return glob.Match(m.glob, lower)
}

// compileTexts compiles patterns that are compared as text.
func compileTexts(list []string) (*patterns, []*KeyError) { return compile(list, matching(glob.Text)) }

// compileWords compiles patterns for names.
func compileWords(list []string) (*patterns, []*KeyError) { return compile(list, matching(glob.Word)) }

// compileAddresses compiles patterns for mail addresses and refuses those that could never match one. They are
// compared with what mime.AddressText makes of an address.
func compileAddresses(list []string) (*patterns, []*KeyError) {
	return compile(list, matching(func(s string) (string, *glob.Mistake) { return glob.Address(mime.AddressText(s)) }))
}

// matching makes matchers of what a text of the config stands for.
func matching(pattern func(string) (string, *glob.Mistake)) func(string) (matcher, *KeyError) {
	return func(s string) (matcher, *KeyError) {
		p, mistake := pattern(s)
		if mistake != nil {
			return matcher{}, &KeyError{Problem: mistake.Problem, Hint: mistake.Hint}
		}
		return matcher{glob: p}, nil
	}
}

// compileNetworks compiles CIDR networks and single addresses.
func compileNetworks(list []string) (*patterns, []*KeyError) {
	return compile(list, func(s string) (matcher, *KeyError) {
		network, err := ParseNetwork(s)
		if err == nil {
			return matcher{network: network}, nil
		}
		hint := `write "10.0.0.7", "10.0.0.0/8" or "2001:db8::/32"`
		if items := glob.List(s); len(items) > 1 {
			hint = glob.WriteList(items)
		}
		return matcher{}, &KeyError{Problem: fmt.Sprintf("%q is neither an IP address nor a network", s), Hint: hint}
	})
}

// ParseNetwork parses "10.0.0.0/8" or an address, which is a network of one. IPv4 addresses written as IPv6
// (RFC 4291 2.5.5.2) are IPv4.
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(s)
	if addr := network.Addr(); addr.Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(addr.Unmap(), network.Bits()-96)
	}
	return network.Masked(), err
}

// compile compiles a list. The errors have the numbers of its items.
func compile(list []string, one func(string) (matcher, *KeyError)) (p *patterns, errs []*KeyError) {
	if len(list) == 0 {
		return nil, nil
	}
	p = &patterns{given: list}
	for i, given := range list {
		text, negated := strings.CutPrefix(given, "!")
		m, err := one(text)
		if err != nil {
			err.Item = i + 1
			errs = append(errs, err)
			continue
		}
		m.given = given
		if negated {
			p.negate = append(p.negate, m)
		} else {
			p.plain = append(p.plain, m)
		}
	}
	return p, errs
}

package config

import (
	"fmt"
	"net"
	"net/netip"
	"os/user"
	"slices"
	"strconv"

	"mailhatch/gateway/config/environ"
)

// access fills in who may connect and refuses what would be an open relay.
func (c *checker) access(path string, l *Listener) {
	network, address := l.Network()
	_, explicit := c.lines[path+".allow"]
	c.socket(path, network, l.SocketGroup)
	if network == "unix" {
		const hint = "the mode of its directory decides who may connect"
		if explicit {
			c.report(path+".allow", "does nothing on a unix socket", hint)
		}
		if len(l.ProxyFrom) > 0 {
			c.report(path+".proxy_from", "does nothing on a unix socket", hint)
		}
		c.habits(path, l, true)
		return
	}
	c.proxies(path, l)
	// Behind a proxy the clients are others than those who can reach the address.
	loopback := (network != "tcp" || isLoopback(address)) && len(l.ProxyFrom) == 0
	if !loopback && l.Auth == "required" && l.TLS == "none" && !l.AuthPlain && !l.AnyAuth {
		c.report(path+".auth", "needs tls on an address that other hosts can reach: passwords would travel in the clear",
			`set tls = "starttls" with cert_file and key_file; for devices that know no TLS, auth_plaintext = true with their addresses in allow`)
	}
	if explicit {
		c.narrow(path+".allow", l)
	} else {
		c.allowByDefault(path, l, network, loopback)
	}
	c.habits(path, l, len(l.ProxyFrom) == 0 && !slices.ContainsFunc(l.Allow, func(n Network) bool { return !n.Addr().IsLoopback() }))
}

// protects reports whether only those who have a password or a certificate may send.
func (l *Listener) protects() bool { return l.Auth == "required" && !l.AnyAuth }

// allowByDefault decides who may connect where the config does not say.
func (c *checker) allowByDefault(path string, l *Listener, network string, loopback bool) {
	l.Allow = networks("127.0.0.0/8", "::1/128")
	switch {
	case l.AuthPlain && l.protects() && (!loopback || network == "fd"):
		c.report(path+".auth_plaintext", "lets passwords travel in the clear: the devices that need it must be listed",
			`write allow = ["192.168.1.20"] with their addresses`)
	case l.protects() && (!loopback || network == "fd"):
		l.Allow = networks("0.0.0.0/0", "::/0")
	case !loopback:
		what := fmt.Sprintf("%q can be reached by other hosts", l.Address)
		if len(l.ProxyFrom) > 0 {
			what = fmt.Sprintf("%q is reached by other hosts through the proxy", l.Address)
		}
		fix := `name who may connect (allow = ["10.0.0.0/8"]), or set auth = "required" with users and tls, or listen on 127.0.0.1`
		if c.File == Environment {
			fix = "set " + environ.Allow + " to the networks that may send, such as 10.0.0.0/8"
		}
		c.report(path+".address", what+": this would be an open relay", fix)
	}
}

// habits checks what a listener forgives its clients. local: all of them are on this machine.
func (c *checker) habits(path string, l *Listener, local bool) {
	if l.BareNewlines == "" {
		l.BareNewlines = "normalise"
		if local {
			l.BareNewlines = "accept"
		}
	}
	switch {
	case l.AnyAuth && (len(l.Users) > 0 || l.ClientCAFile != ""):
		c.report(path+".accept_any_auth", "takes any password, so that users and client_ca_file would mean nothing", "leave out one or the other")
	case l.AuthPlain && l.Auth == "none" && !c.isBad(path+".auth"):
		c.report(path+".auth_plaintext", `does nothing with auth = "none"`, `set auth = "required" with users`)
	}
}

// socket checks the keys of unix sockets, and refuses them elsewhere.
func (c *checker) socket(path, network, group string) {
	if network == "unix" {
		if _, err := GroupID(group); err != nil {
			c.report(path+".socket_group", fmt.Sprintf("%q is not a group of this machine", group), "")
		}
		return
	}
	for _, key := range []string{"socket_mode", "socket_group"} {
		if _, given := c.lines[path+"."+key]; given {
			c.report(path+"."+key, "does nothing here", "it is for unix:/path; for fd:NAME set SocketMode= and SocketGroup= in the socket unit")
		}
	}
}

// narrow refuses an allow list that lets strangers in without AUTH.
func (c *checker) narrow(path string, l *Listener) {
	if len(l.Allow) == 0 && !c.isBad(path) {
		c.report(path, "is empty: no client could connect", "")
	}
	danger, hint := "lets strangers in without authentication: this would be an open relay", `name your own networks, or set auth = "required"`
	switch {
	case l.protects() && l.AuthPlain:
		danger, hint = "is more than devices of your own, whose passwords auth_plaintext lets travel in the clear", "list their addresses"
	case l.protects():
		return
	}
	for i, n := range l.Allow {
		if tooWide(n) {
			c.report(indexPath(path, i), fmt.Sprintf("%s %s", n, danger), hint)
		}
	}
}

// proxies refuses networks of strangers, who could claim any client address, such as 127.0.0.1.
func (c *checker) proxies(path string, l *Listener) {
	for i, n := range l.ProxyFrom {
		if tooWide(n) {
			c.report(indexPath(path+".proxy_from", i), fmt.Sprintf("%s lets strangers claim any client address: this would be an open relay", n),
				"name the addresses of your proxies")
		}
	}
}

// tooWide reports whether a network is wider than any that one owner has: 10.0.0.0/8, fc00::/7 and fe80::/10 are the widest
// private ones (RFC 1918, RFC 4193, RFC 4291), and a site has no more than a /16 of public IPv6.
func tooWide(n Network) bool {
	if !n.IsValid() {
		return false
	}
	if n.Addr().Is4() {
		return n.Bits() < 8
	}
	private := n.Addr().IsPrivate() && n.Bits() >= 7 || n.Addr().IsLinkLocalUnicast() && n.Bits() >= 10
	return !private && n.Bits() < 16
}

// isLoopback reports whether a host:port can be reached from this machine only.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// GroupID returns a group by name or number; -1 for "".
func GroupID(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

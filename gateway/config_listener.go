package gateway

import (
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"mailhatch/upstream"
)

// ListenerConfig is one [[listener]].
type ListenerConfig struct {
	Address       string         `toml:"address"` // as given: "host:port", "unix:/path" or "fd:NAME"
	TLS           string         `toml:"tls"`     // none | starttls | implicit
	CertFile      string         `toml:"cert_file"`
	KeyFile       string         `toml:"key_file"`
	Auth          string         `toml:"auth"` // none | optional | required
	Users         []ListenerUser `toml:"user"`
	Allow         []Network      `toml:"allow"` // who may connect; empty on unix sockets, where file modes decide
	MaxMessage    Size           `toml:"max_message"`
	MaxRecipients int            `toml:"max_recipients"`
	Mode          string         `toml:"mode"` // queue | direct
}

// ListenerUser is one [[listener.user]].
type ListenerUser struct {
	Name     string          `toml:"name"`
	Password upstream.Secret `toml:"password"` // a bcrypt hash ("$2…") or the password itself
}

// Verify says whether the password is right. It takes as long for a wrong one.
func (u *ListenerUser) Verify(password string) bool {
	want := u.Password.Reveal()
	if isBcrypt(want) {
		return bcrypt.CompareHashAndPassword([]byte(want), []byte(password)) == nil
	}
	return subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
}

func isBcrypt(s string) bool { return strings.HasPrefix(s, "$2") }

func (l *ListenerConfig) setDefaults() {
	*l = ListenerConfig{
		TLS: "none", Auth: "none", MaxMessage: 40e6, MaxRecipients: 1000, Mode: "queue",
	}
}

// Network gives the network and address for net.Listen; for a socket that is handed over it is "fd" and its name.
func (l *ListenerConfig) Network() (network, address string) {
	if path, ok := strings.CutPrefix(l.Address, "unix:"); ok {
		return "unix", path
	}
	if name, ok := strings.CutPrefix(l.Address, "fd:"); ok {
		return "fd", name
	}
	return "tcp", l.Address
}

// Allows says whether a client may connect. Unix sockets let everybody in who can open them.
func (l *ListenerConfig) Allows(addr netip.Addr) bool {
	if network, _ := l.Network(); network == "unix" {
		return true
	}
	addr = addr.Unmap().WithZone("")
	for _, n := range l.Allow {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

func networks(list ...string) []Network {
	out := make([]Network, len(list))
	for i, s := range list {
		out[i] = Network{netip.MustParsePrefix(s)}
	}
	return out
}

func (c *configChecker) listeners() []ListenerConfig {
	list := c.file.Listener
	if len(list) == 0 && !c.isBad("listener") {
		list = make([]ListenerConfig, 1)
		list[0].setDefaults()
		list[0].Address = "127.0.0.1:1025"
	}
	seen := map[string]string{}
	for i := range list {
		path := indexPath("listener", i)
		l := &list[i]
		c.oneOf(path+".tls", l.TLS, "none", "starttls", "implicit")
		c.oneOf(path+".auth", l.Auth, "none", "optional", "required")
		c.oneOf(path+".mode", l.Mode, "queue", "direct")
		if l.MaxMessage < 1000 || l.MaxMessage > 2<<30 {
			c.report(path+".max_message", "must be from 1KB to 2GiB", "")
		}
		if l.MaxRecipients < 1 || l.MaxRecipients > 100_000 {
			c.report(path+".max_recipients", "must be from 1 to 100000", "RFC 5321 asks for at least 100")
		}
		c.certificate(path, l)
		c.users(path, l)
		if !c.address(path+".address", l) {
			continue
		}
		c.access(path, l)
		if first, dup := seen[l.Address]; dup && !strings.HasSuffix(l.Address, ":0") {
			c.report(path+".address", fmt.Sprintf("%q is the address of the listener on line %d already", l.Address, c.lines.at(first)), "")
		}
		seen[l.Address] = path
	}
	return list
}

// address checks the form of the address.
func (c *configChecker) address(path string, l *ListenerConfig) bool {
	const forms = `write "127.0.0.1:1025", "unix:/run/mailhatch/smtp.sock" or "fd:NAME"`
	if c.isBad(path) {
		return false
	}
	network, address := l.Network()
	switch {
	case l.Address == "":
		c.report(path, "is missing", forms)
		return false
	case network == "unix" && !strings.HasPrefix(address, "/") && !filepath.IsAbs(address):
		c.report(path, "needs an absolute path after unix:", forms)
		return false
	case network == "fd" && (address == "" || strings.ContainsAny(address, ": \t")):
		c.report(path, "needs the FileDescriptorName= of a systemd socket after fd:", forms)
		return false
	case network == "tcp":
		_, port, err := net.SplitHostPort(address)
		_, numErr := strconv.ParseUint(port, 10, 16)
		if err != nil || numErr != nil {
			c.report(path, fmt.Sprintf("%q is not an address to listen on", l.Address), forms)
			return false
		}
	}
	return true
}

// access fills in who may connect and refuses what would be an open relay.
func (c *configChecker) access(path string, l *ListenerConfig) {
	network, address := l.Network()
	_, explicit := c.lines[path+".allow"]
	loopback := network != "tcp" || isLoopback(address)
	allowPath := path + ".allow"
	if network == "unix" {
		if explicit {
			c.report(allowPath, "does nothing on a unix socket", "the mode of its directory decides who may connect")
		}
		return
	}
	if !loopback && l.Auth == "required" && l.TLS == "none" {
		c.report(path+".auth", "needs tls on an address that other hosts can reach: passwords would travel in the clear",
			`set tls = "starttls" with cert_file and key_file`)
	}
	if explicit {
		c.narrow(allowPath, l)
		return
	}
	l.Allow = networks("127.0.0.0/8", "::1/128")
	switch {
	case l.Auth == "required" && (!loopback || network == "fd"):
		l.Allow = networks("0.0.0.0/0", "::/0")
	case !loopback:
		c.report(path+".address", fmt.Sprintf("%q can be reached by other hosts: this would be an open relay", l.Address),
			`name who may connect (allow = ["10.0.0.0/8"]), or set auth = "required" with users and tls, or listen on 127.0.0.1`)
	}
}

// narrow refuses an allow list that lets strangers in without AUTH.
func (c *configChecker) narrow(path string, l *ListenerConfig) {
	if len(l.Allow) == 0 && !c.isBad(path) {
		c.report(path, "is empty: nobody could connect", "")
	}
	if l.Auth == "required" {
		return
	}
	for i, n := range l.Allow {
		// 10.0.0.0/8 and fc00::/7 are the widest private networks (RFC 1918, RFC 4193).
		if n.IsValid() && (n.Addr().Is4() && n.Bits() < 8 || n.Addr().Is6() && n.Bits() < 7) {
			c.report(indexPath(path, i), fmt.Sprintf("%s lets strangers in without authentication: this would be an open relay", n),
				`name your own networks, or set auth = "required"`)
		}
	}
}

// isLoopback says whether a host:port can be reached from this machine only.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

func (c *configChecker) certificate(path string, l *ListenerConfig) {
	if l.TLS == "none" {
		for key, value := range map[string]string{"cert_file": l.CertFile, "key_file": l.KeyFile} {
			if value != "" {
				c.report(path+"."+key, `does nothing with tls = "none"`, `set tls = "starttls" or "implicit"`)
			}
		}
		return
	}
	if c.isBad(path + ".tls") {
		return
	}
	for _, f := range []struct {
		key   string
		value *string
	}{{"cert_file", &l.CertFile}, {"key_file", &l.KeyFile}} {
		if *f.value == "" {
			c.report(path+"."+f.key, fmt.Sprintf("is missing: tls = %q needs it", l.TLS), "")
			return
		}
		*f.value = resolvePath(c.reporter.file, *f.value)
	}
	if _, err := tls.LoadX509KeyPair(l.CertFile, l.KeyFile); err != nil {
		c.report(path+".cert_file", "cannot be used: "+err.Error(), "")
	}
}

func (c *configChecker) users(path string, l *ListenerConfig) {
	usersPath := path + ".user"
	switch {
	case c.isBad(usersPath) || c.isBad(path+".auth"):
	case l.Auth == "none" && len(l.Users) > 0:
		c.report(usersPath, `does nothing with auth = "none"`, `set auth = "required" or "optional"`)
	case l.Auth != "none" && len(l.Users) == 0:
		c.report(path+".auth", fmt.Sprintf("is %q, but there is no user", l.Auth), "add [[listener.user]] with name and password below this listener")
	}
	seen := map[string]bool{}
	for i, u := range l.Users {
		at := indexPath(usersPath, i)
		if u.Name == "" {
			c.report(at+".name", "is missing", "")
		}
		if seen[u.Name] {
			c.report(at+".name", fmt.Sprintf("%q is there twice", u.Name), "")
		}
		seen[u.Name] = true
		if u.Password.IsZero() {
			c.report(at+".password", "is missing", "")
		} else if _, err := bcrypt.Cost([]byte(u.Password.Reveal())); isBcrypt(u.Password.Reveal()) && err != nil {
			c.report(at+".password", "looks like a bcrypt hash but is none", "")
		}
	}
}

package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"mailhatch/gateway/config/bind"
	"mailhatch/upstream"
)

// Listener is one [[listener]].
type Listener struct {
	Encryption
	Address      string    `toml:"address"`        // as given: "host:port", "unix:/path" or "fd:NAME"
	ClientCAFile string    `toml:"client_ca_file"` // certificates of these authorities log in
	Auth         string    `toml:"auth"`           // none | optional | required
	AuthPlain    bool      `toml:"auth_plaintext"` // AUTH without TLS for all who may connect
	AnyAuth      bool      `toml:"accept_any_auth"`
	Users        []User    `toml:"user"`
	Allow        []Network `toml:"allow"`        // who may connect; empty on unix sockets, where file modes decide
	ProxyFrom    []Network `toml:"proxy_from"`   // who must begin with a PROXY header, and is believed
	SocketMode   FileMode  `toml:"socket_mode"`  // of a unix socket
	SocketGroup  string    `toml:"socket_group"` // name or number; "" leaves the program's own
	RequireHelo  bool      `toml:"require_helo"` // MAIL needs HELO, and HELO a name
	Mode         string    `toml:"mode"`         // queue | direct
	Banner       string    `toml:"banner"`

	MaxMessage     Size              `toml:"max_message"`
	MaxRecipients  int               `toml:"max_recipients"`
	MaxLine        Size              `toml:"max_line"`      // 0: any
	BareNewlines   string            `toml:"bare_newlines"` // normalise | accept | reject; empty: as habits says
	MaxConnections int               `toml:"max_connections"`
	MaxPerClient   int               `toml:"max_connections_per_client"` // 0: any
	MaxRate        Rate              `toml:"max_rate"`                   // messages of one client; zero: any
	IdleTimeout    upstream.Duration `toml:"idle_timeout"`
	MinRate        Size              `toml:"min_rate"` // a second, of message text; 0: any

	sockets []bind.Socket // of an address with a port
}

// The address of a config without listeners; programs of this machine reach it at ::1 as well.
const (
	defaultPort    = 1025
	defaultAddress = "127.0.0.1:1025"
)

func (l *Listener) SetDefaults() {
	*l = Listener{
		Encryption: noEncryption(), Auth: "none", MaxMessage: 40e6, MaxRecipients: 1000, Mode: "queue", SocketMode: 0o666,
		RequireHelo: true, MaxConnections: 2000, IdleTimeout: duration(5 * time.Minute), MinRate: 64,
	}
}

// Network returns the network and address for net.Listen; for a socket that is handed over it is "fd" and its name.
func (l *Listener) Network() (network, address string) {
	if path, ok := strings.CutPrefix(l.Address, "unix:"); ok {
		return "unix", path
	}
	if name, ok := strings.CutPrefix(l.Address, "fd:"); ok {
		return "fd", name
	}
	return "tcp", l.Address
}

// Sockets returns where an address with a port is bound; nil for others.
func (l *Listener) Sockets() []bind.Socket { return l.sockets }

// Allows reports whether a client may connect. A unix socket admits every client that can open it.
func (l *Listener) Allows(addr netip.Addr) bool {
	if network, _ := l.Network(); network == "unix" {
		return true
	}
	return Contain(l.Allow, addr)
}

// Contain reports whether an address is in one of the networks.
func Contain(list []Network, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(list, func(n Network) bool { return n.Contains(addr) })
}

func networks(list ...string) []Network {
	out := make([]Network, len(list))
	for i, s := range list {
		out[i] = Network{Prefix: netip.MustParsePrefix(s)}
	}
	return out
}

func (c *checker) listeners() []Listener {
	list := c.file.Listener
	isDefault := len(list) == 0 && !c.isBad("listener")
	if isDefault {
		list = make([]Listener, 1)
		list[0].SetDefaults()
		list[0].Address = defaultAddress
		c.Table(indexPath("listener", 0), nil, &list[0])
	}
	if at := c.opts.Listen; at != "" && len(list) > 0 {
		if len(list) > 1 {
			c.report(indexPath("listener", 1), "is a second listener, and --listen takes the place of the only one", "leave one [[listener]], or --listen out")
		}
		list[0].Address, isDefault = at, false
	}
	for i := range list {
		path := indexPath("listener", i)
		l := &list[i]
		c.oneOf(path+".auth", l.Auth, "none", "optional", "required")
		c.oneOf(path+".mode", l.Mode, "queue", "direct")
		c.limits(path, l)
		c.encryption(path, &l.Encryption, "starttls", "implicit")
		c.clientCA(path, l)
		c.users(path, l)
		if !c.address(path+".address", l) {
			continue
		}
		c.access(path, l)
	}
	c.bind(list)
	if isDefault {
		list[0].sockets = bind.Loopback(defaultPort)
	}
	c.inFlight(list)
	return list
}

// inFlight refuses a budget that the largest message would never fit in.
func (c *checker) inFlight(list []Listener) {
	for i := range list {
		if list[i].MaxMessage > c.file.MaxInFlight && !c.isBad(indexPath("listener", i)+".max_message") {
			c.report("max_in_flight", "must be at least the max_message of each listener", "")
		}
	}
}

// address checks the form of the address.
func (c *checker) address(path string, l *Listener) bool {
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
		if _, err := bind.Parse(address); err != nil {
			c.report(path, fmt.Sprintf("%q is %v", l.Address, err), forms)
			return false
		}
	}
	return true
}

// limits checks how much a client may do.
func (c *checker) limits(path string, l *Listener) {
	wrong := func(bad bool, key, problem, hint string) {
		if bad {
			c.report(path+"."+key, problem, hint)
		}
	}
	if l.BareNewlines != "" {
		c.oneOf(path+".bare_newlines", l.BareNewlines, "normalise", "accept", "reject")
	}
	wrong(l.MaxMessage < 1000 || l.MaxMessage > 2<<30, "max_message", "must be from 1KB to 2GiB", "")
	wrong(l.MaxRecipients < 1 || l.MaxRecipients > 100_000, "max_recipients", "must be from 1 to 100000", "RFC 5321 asks for at least 100")
	wrong(l.MaxLine != 0 && (l.MaxLine < 998 || l.MaxLine > 2<<30), "max_line", "must be from 998B to 2GiB",
		`998 is what RFC 5322 allows, without the line end; 0 means any length`)
	wrong(l.MaxConnections < 1 || l.MaxConnections > 100_000, "max_connections", "must be from 1 to 100000", "")
	wrong(l.MaxPerClient < 0, "max_connections_per_client", "must not be negative", "0 means no limit")
	wrong(l.IdleTimeout.Duration < time.Second || l.IdleTimeout.Duration > 24*time.Hour, "idle_timeout", "must be from 1s to 24h", `"5m" is usual`)
	wrong(l.MinRate > 1e9, "min_rate", "must be at most 1GB", `bytes a second; "64B" is usual, 0 means no minimum`)
	wrong(len(l.Banner) > 200 || strings.ContainsFunc(l.Banner, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }), "banner",
		"must be one line of at most 200 ASCII characters", "")
}

// door is where the program answers.
type door struct {
	key      string
	what     string // "the listener", "[admin]"
	given    string // the value of key
	isTCP    bool
	address  bind.Address // of TCP
	listener *Listener    // or nil
}

func (d *door) collides(o *door) bool {
	if d.isTCP && o.isTCP {
		return d.address.Overlaps(o.address)
	}
	return d.given == o.given
}

// doors returns all that can be bound.
func (c *checker) doors(list []Listener) (all []door) {
	add := func(d door, network, text string) {
		var err error
		if d.isTCP = network == "tcp"; d.isTCP {
			d.address, err = bind.Parse(text)
		}
		if err == nil && !c.isBad(d.key) {
			all = append(all, d)
		}
	}
	for i := range list {
		l := &list[i]
		network, text := l.Network()
		add(door{key: indexPath("listener", i) + ".address", what: "the listener", given: l.Address, listener: l}, network, text)
	}
	admin := &c.file.Admin
	add(door{key: "admin.address", what: "[admin]", given: admin.Address}, "tcp", admin.Address) // "off" is no address
	add(door{key: "admin.metrics", what: "[admin] metrics", given: admin.Metrics}, "tcp", admin.Metrics)
	if _, given := c.lines["events.address"]; given { // else nobody may listen there
		add(door{key: "events.address", what: "[events]", given: c.file.Events.Address}, "tcp", c.file.Events.Address)
	}
	return all
}

// bind decides where the listeners are bound, and reports addresses that are in each other's way.
func (c *checker) bind(list []Listener) {
	all := c.doors(list)
	for i := range all {
		p := &all[i]
		var others []bind.Address
		for j := range all {
			o := &all[j]
			if o.isTCP && j != i {
				others = append(others, o.address)
			}
			if j < i && p.collides(o) {
				c.reportCollision(o, p)
			}
		}
		if p.isTCP && p.listener != nil {
			p.listener.sockets = p.address.Sockets(others)
		}
	}
}

// reportCollision reports two addresses at the one that comes later in the file. One that is a default has no line.
func (c *checker) reportCollision(a, b *door) {
	if c.lines[a.key] > c.lines[b.key] {
		a, b = b, a
	}
	where, hint := fmt.Sprintf("%s on line %d", a.what, c.lines[a.key]), "leave out one of them, or give it another port"
	if c.lines[a.key] == 0 {
		where, hint = a.what+" that is there by default", "give it another port"
		if a.listener == nil {
			hint += fmt.Sprintf(`, or set address = "off" in %s`, a.what)
		}
	}
	if a.given == b.given {
		c.report(b.key, fmt.Sprintf("%q is the address of %s already", b.given, where), hint)
		return
	}
	c.report(b.key, fmt.Sprintf("%q overlaps %q, the address of %s: they cannot both be bound", b.given, a.given, where), hint)
}

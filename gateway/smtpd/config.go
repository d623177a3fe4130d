package smtpd

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"mailhatch/gateway/backoff"
	"mailhatch/gateway/smtpd/limit"
)

// TLSMode reports when a listener speaks TLS, in the words of the config.
type TLSMode string

// The TLS modes.
const (
	TLSNone     TLSMode = "none"
	TLSStart    TLSMode = "starttls" // RFC 3207
	TLSImplicit TLSMode = "implicit" // RFC 8314 3.3
)

// AuthMode reports whether clients log in (RFC 4954), in the words of the config.
type AuthMode string

// The AUTH modes.
const (
	AuthNone     AuthMode = "none"
	AuthOptional AuthMode = "optional"
	AuthRequired AuthMode = "required"
)

// BareNewlines reports what becomes of a lone CR or LF inside DATA, in the words of the config.
type BareNewlines string

// What can become of bare newlines.
const (
	Normalise BareNewlines = "normalise" // each becomes CRLF, a CR in the header a space; the default
	Accept    BareNewlines = "accept"    // also, LF.LF ends a message where all lines of a client have ended in LF
	Reject    BareNewlines = "reject"    // 554 5.6.0; a command line that ends in LF gets 500
)

// Config is the settings of one listener. A zero limit means its default where one is named, else none.
type Config struct {
	Name     string // address as the config spells it; envelope.Client.Listener
	Hostname string // what the server calls itself; "localhost" when empty
	Banner   string // words after "220 HOSTNAME ESMTP"; empty by default
	Domain   string // completes bare names: root becomes root@Domain; default Hostname

	TLS       TLSMode
	TLSConfig *tls.Config // needed unless TLS is none; GetConfigForClient serves reloading

	Auth AuthMode
	// Authenticate checks a password. A *envelope.Reply is sent as it is, any other error means 535 5.7.8.
	Authenticate func(ctx context.Context, user, password string, peer netip.Addr) error
	// AllowInsecureAuth offers AUTH without TLS to loopback and unix peers.
	AllowInsecureAuth bool
	// AuthInClear offers AUTH without TLS to all who may connect: whoever sees their packets has their passwords.
	AuthInClear bool
	// AcceptAnyAuth takes any name and password for a login that proves nothing, without TLS as well. There is no
	// user then, and Authenticate is not asked.
	AcceptAnyAuth bool
	// CertUser names the user of a verified client certificate; "" or nil means it names none.
	CertUser func(tls.ConnectionState) string
	// User names the peer of a fresh connection, by the credentials of a unix socket say; "" unknown.
	User func(net.Conn) string

	Allow     []netip.Prefix // who may connect; empty means everyone
	ProxyFrom []netip.Prefix // peers that must begin with a PROXY protocol header (v1 or v2)

	MaxMessage      int64         // bytes, dots removed; 0 means no limit
	MaxRecipients   int           // for each message; default 1000
	MaxConns        int           // default 2000; -1 none
	MaxConnsPerAddr int           // an IPv6 /64 is one address; 0 means no limit
	MaxRate         int           // messages from one user or address in RatePer, 450 4.7.1 beyond; 0 means no limit
	RatePer         time.Duration // default 1 min
	MaxLine         int           // bytes of a line of DATA without its CRLF; 0 means no limit
	MaxErrors       int           // 5xx replies before 421, not counting refused recipients; default 20
	IdleTimeout     time.Duration // for a command, and between two reads of DATA; default 5 min
	MinRate         int64         // bytes/s that DATA must keep up but for some minutes; default 64, -1 none
	InFlight        *limit.Budget // bytes of DATA being received, shared between listeners; nil means no limit
	BareNewlines    BareNewlines
	HeloOptional    bool // MAIL may come without HELO, and HELO without a name

	Guard        *backoff.Guard // against guessed passwords, shared between listeners; nil means one of its own
	DrainTimeout time.Duration  // how long running transactions may take at shutdown; default 30 s

	OnEvent func(Event) // may be nil; called from many sessions at once, must not block
}

const (
	maxCommand   = 12288            // RFC 4954 4: the longest line of any command, CRLF included
	maxAuthFails = 3                // before the connection is closed
	maxLoginWait = 20 * time.Second // that a login has to wait after others have failed
	maxDelayed   = 100              // logins that wait so
	maxJunk      = 200              // commands since the last message that did not further one
	maxRefused   = 1000             // recipients of one transaction, at least
	handshakeMax = 30 * time.Second // for TLS and PROXY headers
	writeMax     = time.Minute      // for a group of replies, at least
	writeSlack   = 10 * time.Second // in which the deadline of one group does for others
	lingerMax    = time.Second      // for a client to notice that the session is over
)

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	c.Hostname = cmp.Or(c.Hostname, "localhost")
	c.Domain = cmp.Or(c.Domain, c.Hostname)
	c.BareNewlines = cmp.Or(c.BareNewlines, Normalise)
	c.MaxRecipients = cmp.Or(c.MaxRecipients, 1000)
	c.MaxConns = cmp.Or(c.MaxConns, 2000)
	c.MaxErrors = cmp.Or(c.MaxErrors, 20)
	c.RatePer = cmp.Or(c.RatePer, time.Minute)
	c.MinRate = cmp.Or(c.MinRate, 64)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 5*time.Minute)
	if c.Guard == nil {
		c.Guard = backoff.New(time.Second, nil)
	}
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 30*time.Second)
	return c
}

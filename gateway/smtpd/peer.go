package smtpd

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"
)

// identifyPeer finds out who the peer is. Only a named proxy is believed when it speaks for another, and it
// must: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt section 5.
func (f *front) identifyPeer() error {
	f.peer = addrOf(f.raw.RemoteAddr())
	if !f.peer.IsValid() || !contains(f.cfg.ProxyFrom, f.peer) {
		return nil
	}
	if err := f.armBoth(time.Now().Add(handshakeMax)); err != nil {
		return err
	}
	r := bufio.NewReader(f.raw)
	header, err := proxyproto.Read(r)
	if err != nil {
		return err
	}
	f.conn = ahead{f.raw, r}
	if header.Command.IsLocal() { // the proxy's own health check
		return nil
	}
	if f.peer = addrOf(header.SourceAddr); !f.peer.IsValid() {
		return errNoPeer // a unix socket at the proxy: nobody that Allow and the routes could check
	}
	return nil
}

var errNoPeer = errors.New("the proxy does not name the client by an IP address")

// ahead is a connection of which some bytes have been read already.
type ahead struct {
	net.Conn
	r *bufio.Reader
}

func (a ahead) Read(p []byte) (int, error) { return a.r.Read(p) }

// addrOf is the IP address in a socket address; zero for unix sockets and pipes.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// isTLSHello notices a TLS hello where a command should be, before a whole line is there.
func (f *front) isTLSHello() bool {
	if f.r == f.w || f.in[f.r] != 0x16 {
		return false
	}
	f.notSMTP("TLS hello", "")
	return true
}

// notSMTP ends a session with something that does not speak SMTP.
func (f *front) notSMTP(what, reply string) {
	f.event(Event{Kind: Foreign, Command: what, Reply: reply})
	if reply != "" {
		f.respond(reply)
	}
	f.ended, f.linger = true, true
}

// httpLine reports a request line of HTTP (RFC 9112 3), whatever its method.
func httpLine(line string) bool {
	i := strings.LastIndex(line, " HTTP/")
	return i > 0 && len(line)-i <= len(" HTTP/1.1")
}

// foreignVerb reports a request of a browser, whose body would send mail if it ran as commands, and
// a proxy that is not named in ProxyFrom.
func foreignVerb(verb string) bool {
	switch verb {
	case "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PRI", "HOST:", "PROXY":
		return true
	}
	return false
}

// handshake puts TLS over the connection. On failure the session is over: nothing more may be said
// in the clear.
func (f *front) handshake() bool {
	conn := tls.Server(f.conn, f.cfg.TLSConfig)
	err := f.armBoth(time.Now().Add(handshakeMax))
	if err == nil {
		err = conn.HandshakeContext(f.ctx)
	}
	if err != nil {
		f.event(Event{Kind: TLSFailed, Err: err})
		f.ended = true
		f.out = nil
		return false
	}
	f.conn = conn
	state := conn.ConnectionState()
	f.tls = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
	if f.cfg.CertUser != nil && len(state.VerifiedChains) > 0 {
		if user := f.cfg.CertUser(state); user != "" {
			f.user = user
			f.identified()
		}
	}
	return true
}

// startTLS answers RFC 3207, which go-smtp never sees.
func (f *front) startTLS(arg string) {
	switch {
	case arg != "":
		f.refuseCommand("501 5.5.4 STARTTLS takes no argument")
	case f.tls != "":
		f.refuseCommand("503 5.5.1 TLS is already active")
	case f.cfg.TLS != TLSStart:
		f.refuseCommand("502 5.5.1 TLS is not offered")
	case f.mail:
		f.refuseCommand("503 5.5.1 Not allowed in a transaction: send RSET first")
	case f.authed:
		f.refuseCommand("503 5.5.1 Not allowed after AUTH")
	default:
		f.respond("220 2.0.0 Ready to start TLS")
		// What was pipelined behind the command was not protected (RFC 3207 4.2, CVE-2011-0411).
		f.r, f.w = 0, 0
		if f.flush() != nil {
			f.ended = true
			return
		}
		if f.handshake() {
			f.helo, f.esmtp = "", false
			f.errors, f.junk = 0, 0
		}
	}
}

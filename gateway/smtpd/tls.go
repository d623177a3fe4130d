package smtpd

import (
	"crypto/tls"
	"time"
)

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

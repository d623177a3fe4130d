package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/smtpd"
)

// serverConfig tells a listener's settings in the words of smtpd.
func (g *Gateway) serverConfig(cfg *config.Config, lc *config.Listener) (smtpd.Config, error) {
	sc := smtpd.Config{
		Name: lc.Address, Hostname: cfg.Hostname, Banner: lc.Banner, Domain: cfg.Identity.Domain,
		TLS: smtpd.TLSMode(lc.TLS), Auth: smtpd.AuthMode(lc.Auth), AllowInsecureAuth: true,
		Allow: prefixes(lc.Allow), ProxyFrom: prefixes(lc.ProxyFrom),
		MaxMessage: int64(lc.MaxMessage), MaxRecipients: lc.MaxRecipients,
		MaxConns: lc.MaxConnections, MaxConnsPerAddr: lc.MaxPerClient, MaxRate: lc.MaxRate.Count, RatePer: lc.MaxRate.Per,
		MaxLine: int(lc.MaxLine), BareNewlines: smtpd.BareNewlines(lc.BareNewlines),
		IdleTimeout: lc.IdleTimeout.Duration, MinRate: int64(lc.MinRate), DrainTimeout: cfg.ShutdownTimeout,
		OnEvent: g.sessionEvent,
	}
	if lc.MinRate == 0 {
		sc.MinRate = -1 // smtpd's word for any
	}
	if lc.Address == config.SubmitName {
		sc.User = peerName
	} else if network, _ := lc.Network(); network != "tcp" {
		sc.User = func(c net.Conn) string { return g.peerUser(lc, c) }
	}
	for i := range lc.Users {
		if !lc.Users[i].Password.IsZero() {
			sc.Authenticate = func(_ context.Context, user, password string, _ netip.Addr) error {
				return g.listenerNow(lc).Authenticate(user, password)
			}
		}
	}
	var err error
	if lc.TLS != "none" {
		sc.CertUser = certificateUser
		sc.TLSConfig, err = g.tlsConfig(cfg, lc)
	}
	return sc, err
}

func prefixes(list []config.Network) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, n := range list {
		out[i] = n.Prefix
	}
	return out
}

// tlsConfig reads the certificates of a listener.
func (g *Gateway) tlsConfig(cfg *config.Config, lc *config.Listener) (*tls.Config, error) {
	certFile, keyFile := lc.CertFile, lc.KeyFile
	if lc.SelfSigned {
		name := selfSignedFile
		if tlsVersion(lc.TLSMin) < tls.VersionTLS12 {
			name = selfSignedRSA
		}
		file, err := selfSigned(cfg.StateDir, name, cfg.Hostname)
		if err != nil {
			return nil, fmt.Errorf("self_signed: %w", err)
		}
		certFile, keyFile = file, file
	}
	cert, err := newCertificate(certFile, keyFile, g.opts.Log)
	if err != nil {
		return nil, err
	}
	tc := &tls.Config{MinVersion: tlsVersion(lc.TLSMin), GetCertificate: cert.get}
	if tc.MinVersion < tls.VersionTLS12 {
		tc.CipherSuites = oldCipherSuites()
	}
	if lc.ClientCAFile != "" {
		if tc.ClientCAs, err = config.ClientCAs(lc.ClientCAFile); err != nil {
			return nil, fmt.Errorf("client_ca_file: %w", err)
		}
		tc.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return tc, nil
}

func tlsVersion(s string) uint16 {
	switch s {
	case "1.0":
		return tls.VersionTLS10
	case "1.1":
		return tls.VersionTLS11
	case "1.3":
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// oldCipherSuites are the usual ones and those with RSA key exchange and AES: devices that know no
// TLS 1.2 often know nothing else.
func oldCipherSuites() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	return append(ids, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA)
}

// certificateUser names the holder of a verified client certificate: the common name, else the first
// alternative name. A name that could not stand in a header or a log names nobody.
func certificateUser(state tls.ConnectionState) string {
	cert := state.VerifiedChains[0][0]
	for _, name := range append([]string{cert.Subject.CommonName}, alternativeNames(cert)...) {
		if name != "" {
			return plainName(name)
		}
	}
	return ""
}

func alternativeNames(cert *x509.Certificate) []string {
	names := append(append([]string{}, cert.EmailAddresses...), cert.DNSNames...)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	return names
}

func plainName(name string) string {
	if len(name) > 255 || !utf8.ValidString(name) || strings.HasPrefix(name, "uid:") || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return name
}

// peerUser names the account behind a unix socket. Where a login is required it stands for one only
// when the listener lists it.
func (g *Gateway) peerUser(lc *config.Listener, c net.Conn) string {
	name := peerName(c)
	if lc.Auth == "required" && g.listenerNow(lc).User(name) == nil {
		return ""
	}
	return name
}

// listenerNow gives the listener as the config has it now: users change with a reload even where the
// server goes on.
func (g *Gateway) listenerNow(lc *config.Listener) *config.Listener {
	cfg := g.current.Load()
	if strings.HasSuffix(lc.Address, ":0") { // several may be called that
		return lc
	}
	for i := range cfg.Listeners {
		if cfg.Listeners[i].Address == lc.Address {
			return &cfg.Listeners[i]
		}
	}
	return lc
}

// sender refuses what allow_from does not let a user say.
func (g *Gateway) sender(lc *config.Listener, env *envelope.Envelope) error {
	now := g.listenerNow(lc)
	u := now.User(env.Client.User)
	if u == nil && loggedIn(now, env) {
		return &envelope.Reply{Code: 530, Enhanced: [3]int{5, 7, 0}, Text: env.Client.User + " is no user any more"}
	}
	if env.Client.User == "" || u == nil || u.MaySend(env) {
		return nil
	}
	return &envelope.Reply{Code: 553, Enhanced: [3]int{5, 7, 1}, Text: fmt.Sprintf("%s may not send as <%s>", env.Client.User, env.From)}
}

// loggedIn tells a client that gave a password from one that is named by its certificate or socket,
// which need not be listed. "A" ends the protocol of those who used AUTH (RFC 3848).
func loggedIn(lc *config.Listener, env *envelope.Envelope) bool {
	if name := env.Client.User; name == "" || strings.HasPrefix(name, "uid:") {
		return false
	}
	return lc.ClientCAFile == "" || strings.HasSuffix(env.Client.Protocol, "A")
}

// sessionEvent puts what the operator should see of sessions into the journal.
func (g *Gateway) sessionEvent(e smtpd.Event) {
	switch e.Kind {
	case smtpd.Connected, smtpd.Closed, smtpd.AuthOK:
		return
	}
	client := ""
	if e.Addr.IsValid() {
		client = e.Addr.String()
	}
	r := journal.Rejected{Stage: string(e.Kind), Reason: e.Reply, From: e.From, To: e.To, Client: client, Listener: e.Listener}
	if e.Err != nil {
		r.Reason = e.Err.Error()
	}
	r.Code, _ = strconv.Atoi(strings.SplitN(e.Reply, " ", 2)[0])
	switch e.Kind {
	case smtpd.Foreign:
		r.Reason = strings.TrimSpace("the client does not speak SMTP but began with " + strconv.Quote(e.Command) + ". " + e.Reply)
	case smtpd.Rejected:
		r.Stage, r.Reason = e.Command, e.Reply
	}
	g.journal.Rejected(r)
}

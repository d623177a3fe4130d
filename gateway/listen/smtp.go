package listen

import (
	"context"
	"fmt"
	"log/slog"
	"mailhatch/gateway/backoff"
	"mailhatch/gateway/config"
	"mailhatch/gateway/config/bind"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/smtpd"
	"mailhatch/gateway/smtpd/limit"
	"mailhatch/gateway/systemd"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// SMTP makes the endpoints of the SMTP listeners.
type SMTP struct {
	Current  func() *config.Config // the config in force: users change without a new server
	Handler  func(*config.Listener) smtpd.Handler
	InFlight *limit.Budget  // of all sessions
	Guard    *backoff.Guard // of all passwords
	Journal  *journal.Journal
	Refused  func(smtpd.Event) // is told of mail that was refused; nil: nobody
	Log      *slog.Logger
}

// Endpoints returns the endpoints of cfg's listeners, of its submission socket, and of passed sockets that none of them wants.
func (s *SMTP) Endpoints(cfg *config.Config) []Endpoint {
	var list []Endpoint
	for i := range cfg.Listeners {
		lc := &cfg.Listeners[i]
		e := s.endpoint(cfg, lc)
		e.Name, e.Public = "listener", true
		e.Bind = func() ([]net.Listener, error) { return s.bind(lc) }
		if network, path := lc.Network(); network == "unix" {
			e.Rebind = func() error { return setSocketMode(path, os.FileMode(lc.SocketMode), lc.SocketGroup) }
		}
		list = append(list, e)
	}
	// Mail of others must flow without the submission socket.
	e := s.endpoint(cfg, cfg.SubmitListener())
	e.Name, e.Optional = config.SubmitName, true
	e.Bind = func() ([]net.Listener, error) {
		l, err := ForAll(cfg.SubmitPath())
		if err != nil {
			return nil, fmt.Errorf("sendmail cannot submit mail: %w", err)
		}
		return []net.Listener{l}, nil
	}
	return append(append(list, e), s.unclaimed(cfg)...)
}

func (s *SMTP) bind(lc *config.Listener) ([]net.Listener, error) {
	switch network, address := lc.Network(); network {
	case "fd":
		return systemd.Listeners(address)
	case "unix":
		l, err := listenUnix(address, os.FileMode(lc.SocketMode), lc.SocketGroup)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	list, missing, err := listenAll(lc.Sockets())
	for _, err := range missing {
		s.Log.Warn("cannot listen on one of a listener's addresses", "listener", lc.Address, "error", err)
	}
	return list, err
}

// listenAll binds all of the sockets. Of spare ones that are in use or forbidden it returns the reason; that
// the machine has no such address is none.
func listenAll(sockets []bind.Socket) (list []net.Listener, missing []error, err error) {
	for _, at := range sockets {
		l, err := net.Listen(at.Network, at.Address)
		switch {
		case err == nil:
			list = append(list, l)
		case !at.Spare:
			for _, l := range list {
				_ = l.Close()
			}
			return nil, nil, err
		case !comesLater(at.Address, err):
			missing = append(missing, err)
		}
	}
	return list, missing, nil
}

// settings is what a server takes from the config.
type settings struct {
	listener         config.Listener
	hostname, domain string
	drain            time.Duration
	clientCA         time.Time // when client_ca_file was written
}

func (s *SMTP) endpoint(cfg *config.Config, lc *config.Listener) Endpoint {
	set := settings{listener: *lc, hostname: cfg.Hostname, domain: cfg.Identity.Domain, drain: cfg.ShutdownTimeout}
	// Users are looked up at each login; the server only needs to know whether it offers AUTH.
	if set.listener.Users = nil; lc.HasPasswords() {
		set.listener.Users = make([]config.User, 1)
	}
	if lc.ClientCAFile != "" {
		if st, err := os.Stat(lc.ClientCAFile); err == nil {
			set.clientCA = st.ModTime()
		}
	}
	return Endpoint{Address: lc.Address, Settings: set, Probe: greets(lc), Server: func() (Server, error) {
		sc, err := s.config(cfg, lc)
		if err != nil {
			return nil, err
		}
		return smtpd.New(sc, s.Handler(lc), s.Log), nil
	}}
}

// config translates the settings of a listener.
func (s *SMTP) config(cfg *config.Config, lc *config.Listener) (smtpd.Config, error) {
	sc := smtpd.Config{
		Name: lc.Address, Hostname: cfg.Hostname, Banner: lc.Banner, Domain: cfg.Identity.Domain,
		TLS: smtpd.TLSMode(lc.TLS), Auth: smtpd.AuthMode(lc.Auth), AllowInsecureAuth: true,
		AuthInClear: lc.AuthPlain, AcceptAnyAuth: lc.AnyAuth, HeloOptional: !lc.RequireHelo,
		Allow: prefixes(lc.Allow), ProxyFrom: prefixes(lc.ProxyFrom),
		MaxMessage: int64(lc.MaxMessage), MaxRecipients: lc.MaxRecipients,
		MaxConns: lc.MaxConnections, MaxConnsPerAddr: lc.MaxPerClient, MaxRate: lc.MaxRate.Count, RatePer: lc.MaxRate.Per,
		MaxLine: int(lc.MaxLine), BareNewlines: smtpd.BareNewlines(lc.BareNewlines),
		IdleTimeout: lc.IdleTimeout.Duration, MinRate: int64(lc.MinRate), DrainTimeout: cfg.ShutdownTimeout,
		InFlight: s.InFlight, Guard: s.Guard, OnEvent: s.event,
	}
	if lc.MinRate == 0 {
		sc.MinRate = -1 // smtpd: no limit
	}
	if lc.Address == config.SubmitName {
		sc.User = peerName
	} else if network, _ := lc.Network(); network != "tcp" {
		sc.User = func(c net.Conn) string { return s.peerUser(lc, c) }
	}
	if lc.HasPasswords() {
		sc.Authenticate = func(_ context.Context, user, password string, _ netip.Addr) error {
			return s.Current().Latest(lc).Authenticate(user, password)
		}
	}
	var err error
	if lc.TLS != "none" {
		sc.CertUser = certificateUser
		sc.TLSConfig, err = tlsConfig(cfg, lc, s.Log)
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

// peerUser names the account behind a unix socket. Where a login is required it stands for one only
// when the listener lists it.
func (s *SMTP) peerUser(lc *config.Listener, c net.Conn) string {
	name := peerName(c)
	if lc.Auth == "required" && s.Current().Latest(lc).User(name) == nil {
		return ""
	}
	return name
}

// event puts what the operator should see of sessions into the journal.
func (s *SMTP) event(e smtpd.Event) {
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
	case smtpd.AuthFailed:
		r.Reason = "user " + strconv.Quote(e.User) + ": " + r.Reason
	case smtpd.Foreign:
		r.Reason = strings.TrimSpace("the client does not speak SMTP but began with " + strconv.Quote(e.Command) + ". " + e.Reply)
	case smtpd.Rejected:
		r.Stage, r.Reason = e.Command, e.Reply
		if s.Refused != nil && (e.Command == "MAIL" || len(e.To) > 0) {
			s.Refused(e)
		}
	}
	s.Journal.Rejected(r)
}

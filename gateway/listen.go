package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/smtpd"
)

// maxInFlight bounds the bytes of messages that all sessions together are receiving.
const maxInFlight = 512 << 20

// bound is a listener that has its address.
type bound struct {
	net.Listener
	server *smtpd.Server
}

// listen takes all addresses, or none.
func (g *Gateway) listen(cfg *Config) ([]bound, error) {
	var all []bound
	budget := smtpd.NewBudget(maxInFlight)
	for i := range cfg.Listeners {
		l, err := g.bind(cfg, &cfg.Listeners[i], budget)
		if err != nil {
			closeAll(all)
			return nil, fmt.Errorf("listener %s: %w", cfg.Listeners[i].Address, err)
		}
		all = append(all, l...)
	}
	return all, nil
}

func closeAll(all []bound) {
	for _, b := range all {
		_ = b.Close()
	}
}

func (g *Gateway) bind(cfg *Config, lc *ListenerConfig, budget *smtpd.Budget) ([]bound, error) {
	sc, err := g.serverConfig(cfg, lc)
	if err != nil {
		return nil, err
	}
	sc.InFlight = budget
	listeners, err := openListener(lc)
	if err != nil {
		return nil, err
	}
	server := smtpd.New(sc, &door{g: g, listener: lc}, g.opts.Log)
	all := make([]bound, len(listeners))
	for i, l := range listeners {
		all[i] = bound{l, server}
	}
	return all, nil
}

func openListener(lc *ListenerConfig) ([]net.Listener, error) {
	network, address := lc.Network()
	var l net.Listener
	var err error
	switch network {
	case "fd":
		return activated(address)
	case "unix":
		l, err = listenUnix(address, 0o666)
	default:
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
}

// listenUnix makes a socket in a directory that is made when it is missing.
func listenUnix(path string, mode os.FileMode) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err == nil {
		// A socket that nobody answers is left over from a crash.
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("%s is in use by another program", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, mode)
}

func (g *Gateway) serverConfig(cfg *Config, lc *ListenerConfig) (smtpd.Config, error) {
	sc := smtpd.Config{
		Name: lc.Address, Hostname: cfg.Hostname, Domain: cfg.Identity.Domain, TLS: smtpd.TLSMode(lc.TLS), Auth: smtpd.AuthMode(lc.Auth),
		MaxMessage: int64(lc.MaxMessage), MaxRecipients: lc.MaxRecipients, DrainTimeout: cfg.ShutdownTimeout,
		AllowInsecureAuth: true, OnEvent: g.sessionEvent,
	}
	for _, n := range lc.Allow {
		sc.Allow = append(sc.Allow, n.Prefix)
	}
	if lc.TLS != "none" {
		cert, err := newCertificate(lc.CertFile, lc.KeyFile)
		if err != nil {
			return sc, err
		}
		sc.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	}
	if lc.Auth != "none" {
		sc.Authenticate = func(_ context.Context, user, password string, _ netip.Addr) error {
			return lc.authenticate(user, password)
		}
	}
	return sc, nil
}

var errCredentials = errors.New("wrong user name or password")

func (l *ListenerConfig) authenticate(user, password string) error {
	for i := range l.Users {
		if l.Users[i].Name == user && l.Users[i].Verify(password) {
			return nil
		}
	}
	return errCredentials
}

// sessionEvent puts what the operator should see of sessions into the journal.
func (g *Gateway) sessionEvent(e smtpd.Event) {
	client := ""
	if e.Addr.IsValid() {
		client = e.Addr.String()
	}
	r := journal.Rejected{Stage: string(e.Kind), Reason: e.Reply, Client: client, Listener: e.Listener}
	if e.Err != nil {
		r.Reason = e.Err.Error()
	}
	r.Code, _ = strconv.Atoi(strings.SplitN(e.Reply, " ", 2)[0])
	switch e.Kind {
	case smtpd.Rejected:
		r.Stage, r.Reason = e.Command, e.Reply
	case smtpd.Connected, smtpd.Closed, smtpd.AuthOK:
		return
	}
	g.journal.Rejected(r)
}

// serve runs all listeners until ctx ends and their sessions have ended.
func (g *Gateway) serve(ctx context.Context, all []bound, started func()) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, b := range all {
		group.Go(func() error { return b.server.Serve(ctx, b.Listener) })
		g.opts.Log.Info("listening", "listener", b.Addr().String())
	}
	g.ready.Store(true)
	if started != nil {
		started()
	}
	err := group.Wait()
	g.ready.Store(false)
	return err
}

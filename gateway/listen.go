package gateway

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sync/errgroup"

	"mailhatch/gateway/smtpd"
)

// bound is a listener that has its address.
type bound struct {
	net.Listener
	server *smtpd.Server
}

// listen takes all addresses, or none.
func (g *Gateway) listen(cfg *Config) ([]bound, error) {
	var all []bound
	for i := range cfg.Listeners {
		l, err := g.bind(cfg, &cfg.Listeners[i])
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

func (g *Gateway) bind(cfg *Config, lc *ListenerConfig) ([]bound, error) {
	sc, err := g.serverConfig(cfg, lc)
	if err != nil {
		return nil, err
	}
	sc.InFlight = g.inFlight
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
		l, err = listenUnix(address, os.FileMode(lc.SocketMode), lc.SocketGroup)
	default:
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
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
	g.notified(g.notifier.ready())
	err := group.Wait()
	g.ready.Store(false)
	return err
}

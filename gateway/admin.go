package gateway

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"mailhatch/gateway/admin"
	"mailhatch/upstream"
)

// defaultAdmin is taken when nobody asked for an address; another program may have it.
const defaultAdmin = "127.0.0.1:8025"

// adminListeners opens admin.sock and the address of [admin]. Mail must flow without the socket: that it
// could not be made is told, not fatal.
func (g *Gateway) adminListeners(cfg *Config) ([]net.Listener, error) {
	var all []net.Listener
	l, err := g.adminSocket(cfg)
	if err == nil {
		all = append(all, l)
	} else {
		g.journal.Trouble("admin", err)
	}
	if cfg.Admin.Address == "off" {
		return all, nil
	}
	tcp, err := net.Listen("tcp", cfg.Admin.Address)
	switch {
	case err == nil:
		all = append(all, tcp)
	case cfg.Admin.Address == defaultAdmin:
		g.journal.Trouble("admin", err)
	default:
		for _, l := range all {
			_ = l.Close()
		}
		return nil, fmt.Errorf("admin: %w", err)
	}
	return all, nil
}

func (g *Gateway) adminSocket(cfg *Config) (net.Listener, error) {
	if err := os.MkdirAll(cfg.RunDir, 0o755); err != nil {
		return nil, err
	}
	return admin.Listen(filepath.Join(cfg.RunDir, admin.SocketName))
}

func (g *Gateway) serveAdmin(ctx context.Context, listeners []net.Listener) error {
	cfg := g.current.Load().cfg
	server := admin.New(admin.Config{
		Queue: g.queue, Status: g.upstreamStatus, Ready: g.notReady, Reload: g.Reload, Memory: g.memory, Gatherer: g.metrics,
		Log: g.opts.Log, Hostname: cfg.Hostname, Version: g.opts.Version, Started: g.started,
	})
	return server.Serve(ctx, listeners...)
}

// notReady names what keeps the gateway from taking mail or from handing any on.
func (g *Gateway) notReady() []string {
	var list []string
	if !g.ready.Load() {
		list = append(list, "the listeners are not open")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if draft, err := g.queue.New(ctx); err != nil {
		list = append(list, "new mail is refused: "+err.Error())
	} else {
		_ = draft.Discard()
	}
	closed := []string{}
	status := g.deliverer.Status()
	for _, s := range status {
		if s.State == "closed" {
			closed = append(closed, fmt.Sprintf("upstream %s is closed (%s): %s", s.Name, s.Reason, s.LastError))
		}
	}
	if len(closed) == len(status) { // as long as one works, mail finds a way or waits for its own
		list = append(list, closed...)
	}
	return list
}

func (g *Gateway) upstreamStatus() []admin.Upstream {
	kinds := g.current.Load().upstreams
	var list []admin.Upstream
	for _, s := range g.deliverer.Status() {
		u := admin.Upstream{Name: s.Name, State: s.State, Reason: s.Reason, Since: s.Since, LastError: s.LastError,
			NextProbe: s.NextProbe, InFlight: s.InFlight, MaxConcurrent: s.MaxConcurrent, Rate: s.Rate}
		if k := kinds[s.Name]; k != nil {
			u.Kind = k.Kind
		}
		list = append(list, u)
	}
	return list
}

// memory gives what an upstream of type memory was given.
func (g *Gateway) memory(name string) ([]admin.Kept, bool) {
	u := g.current.Load().upstreams[name]
	if u == nil {
		return nil, false
	}
	m, ok := u.Upstream.(*upstream.Memory)
	if !ok {
		return nil, false
	}
	list := []admin.Kept{}
	for _, msg := range m.Messages() {
		k := admin.Kept{ID: msg.ID, Time: msg.Time, From: msg.From, Source: string(msg.Source), Cut: msg.Cut}
		if !utf8.Valid(msg.Source) {
			k.Raw = msg.Source
		}
		for _, to := range msg.To {
			k.To = append(k.To, to.Address)
		}
		list = append(list, k)
	}
	return list, true
}

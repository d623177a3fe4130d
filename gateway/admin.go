package gateway

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/config"
	"mailhatch/upstream/local"
)

// adminRoom is the admin server with its listeners: admin.sock, and the address of [admin], which a
// reload may change.
type adminRoom struct {
	g      *Gateway
	server *admin.Server
	socket net.Listener // nil when it could not be made

	mu      sync.Mutex
	address string
	tcp     net.Listener       // nil when there is none
	ctx     context.Context    // of the servers; nil before they run
	stop    context.CancelFunc // of the server at tcp
	group   *errgroup.Group
	ended   bool
}

func newAdminRoom(g *Gateway, cfg *config.Config) *adminRoom {
	return &adminRoom{g: g, address: cfg.Admin.Address, server: admin.New(admin.Config{
		Queue: g.queue, Status: g.upstreamStatus, Ready: g.notReady, Reload: g.reloadTold, Memory: g.memory, Gatherer: g.metrics,
		Log: g.opts.Log, Hostname: func() string { return g.current.Load().Hostname }, Version: g.opts.Version, Started: g.started,
	})}
}

// open takes the socket and the address. Mail must flow without the socket: that it could not be made
// is told, not fatal.
func (a *adminRoom) open(cfg *config.Config) (err error) {
	if a.socket, err = adminSocket(cfg); err == nil {
		err = admin.Note(cfg.StateDir, filepath.Join(cfg.RunDir, admin.SocketName))
	}
	if err != nil {
		a.g.journal.InternalError("admin", err)
	}
	if a.tcp, err = listenAdmin(cfg.Admin.Address); err == nil {
		return nil
	}
	if cfg.Admin.Address == config.DefaultAdmin {
		a.g.journal.InternalError("admin", err)
		return nil
	}
	if a.socket != nil {
		_ = a.socket.Close()
	}
	return err
}

func adminSocket(cfg *config.Config) (net.Listener, error) {
	if err := os.MkdirAll(cfg.RunDir, 0o755); err != nil {
		return nil, err
	}
	return admin.Listen(filepath.Join(cfg.RunDir, admin.SocketName))
}

// listenAdmin gives nil for "off".
func listenAdmin(address string) (net.Listener, error) {
	if address == "off" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return l, nil
}

// serve answers until ctx ends.
func (a *adminRoom) serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	a.mu.Lock()
	a.group, a.ctx = group, ctx
	if a.tcp != nil {
		a.start(a.tcp)
	}
	a.mu.Unlock()
	if a.socket != nil {
		group.Go(func() error { return a.server.Serve(ctx, a.socket) })
	}
	group.Go(func() error { // as long as this runs a reload may start another
		<-ctx.Done()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ended = true
		return nil
	})
	return group.Wait()
}

// start serves at another address than before. The caller holds mu.
func (a *adminRoom) start(l net.Listener) {
	ctx, cancel := context.WithCancel(a.ctx)
	a.tcp, a.stop = l, cancel
	a.group.Go(func() error { return a.server.Serve(ctx, l) })
}

// adminMove is the way to another address.
type adminMove struct {
	address string
	tcp     net.Listener
}

// prepare binds the address if it is another one; nil: nothing changes.
func (a *adminRoom) prepare(cfg *config.Config) (*adminMove, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	same := a.address == cfg.Admin.Address
	if same && (a.tcp != nil || a.address == "off") {
		return nil, nil
	}
	l, err := listenAdmin(cfg.Admin.Address)
	switch {
	case err != nil && same: // as at the start: another program has it still
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &adminMove{cfg.Admin.Address, l}, nil
}

// follow makes a move.
func (a *adminRoom) follow(m *adminMove) {
	if m == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		if m.tcp != nil {
			_ = m.tcp.Close()
		}
		return
	}
	switch {
	case a.stop != nil:
		a.stop() // running requests end by themselves
	case a.tcp != nil:
		_ = a.tcp.Close() // it was not served yet
	}
	a.address, a.tcp, a.stop = m.address, m.tcp, nil
	if m.tcp != nil && a.ctx != nil { // else serve starts it
		a.start(m.tcp)
	}
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
	cfg := g.current.Load()
	var list []admin.Upstream
	for _, s := range g.deliverer.Status() {
		u := admin.Upstream{Name: s.Name, State: s.State, Reason: s.Reason, Since: s.Since, LastError: s.LastError,
			NextProbe: s.NextProbe, InFlight: s.InFlight, MaxConcurrent: s.MaxConcurrent, Rate: s.Rate}
		if k := cfg.Upstream(s.Name); k != nil {
			u.Kind = k.Kind.Name
		}
		list = append(list, u)
	}
	return list
}

// memory gives what an upstream of type memory was given.
func (g *Gateway) memory(name string) ([]admin.Kept, bool) {
	u := g.current.Load().Upstream(name)
	if u == nil {
		return nil, false
	}
	m, ok := u.Upstream.(*local.Memory)
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

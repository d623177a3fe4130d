package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"mailhatch/gateway/config"
	"mailhatch/gateway/smtpd"
)

// entrance is one listener of the config as it runs: its sockets, and the server that answers there.
type entrance struct {
	config  config.Listener
	frame   frame
	sockets []*socket
	server  *smtpd.Server
	stop    context.CancelFunc // nil before it was opened
	taken   bool               // its sockets are those of another one before it
}

// frame is what a server takes from the rest of the config.
type frame struct {
	hostname, domain string
	drain            time.Duration
	clientCA         time.Time // when client_ca_file was written
}

func newFrame(cfg *config.Config, lc *config.Listener) frame {
	f := frame{hostname: cfg.Hostname, domain: cfg.Identity.Domain, drain: cfg.ShutdownTimeout}
	if lc.ClientCAFile != "" {
		if st, err := os.Stat(lc.ClientCAFile); err == nil {
			f.clientCA = st.ModTime()
		}
	}
	return f
}

// sameListener says whether a server can go on by the new config. Users are looked up at each login.
func sameListener(a, b config.Listener) bool {
	a.Users, b.Users = passwords(a.Users), passwords(b.Users)
	return reflect.DeepEqual(a, b)
}

// passwords keeps of the users only whether one has a password: then AUTH is offered.
func passwords(users []config.User) []config.User {
	if slices.ContainsFunc(users, func(u config.User) bool { return !u.Password.IsZero() }) {
		return make([]config.User, 1)
	}
	return nil
}

// lobby has all entrances.
type lobby struct {
	g *Gateway

	mu    sync.Mutex
	list  []*entrance
	ctx   context.Context // of all servers; nil before they were opened
	group *errgroup.Group
	ended bool
}

// move is the way from the entrances of one config to those of the next.
type move struct {
	next   []*entrance
	opened []*socket // that were not there before
}

func (m *move) undo() {
	for _, s := range m.opened {
		_ = s.Close()
	}
}

// prepare binds all addresses that cfg has and the running entrances have not. On an error all is as
// it was before.
func (l *lobby) prepare(cfg *config.Config) (*move, error) {
	l.mu.Lock()
	left := slices.Clone(l.list)
	l.mu.Unlock()
	m := &move{}
	for i := range cfg.Listeners {
		if err := l.prepareOne(m, &left, cfg, &cfg.Listeners[i]); err != nil {
			m.undo()
			if len(left) > 0 {
				err = inTheWay(err)
			}
			return nil, fmt.Errorf("listener %s: %w", cfg.Listeners[i].Address, err)
		}
	}
	// Mail of others must flow without the submission socket: that it could not be opened is told, not fatal.
	if err := l.prepareOne(m, &left, cfg, cfg.SubmitListener()); err != nil {
		l.g.journal.InternalError(config.SubmitName, fmt.Errorf("sendmail cannot hand mail over: %w", err))
	}
	return m, nil
}

// prepareOne finds or makes the entrance of one listener; the one found is taken from left.
func (l *lobby) prepareOne(m *move, left *[]*entrance, cfg *config.Config, lc *config.Listener) error {
	e := &entrance{config: *lc, frame: newFrame(cfg, lc)}
	at := slices.IndexFunc(*left, func(old *entrance) bool { return old.config.Address == lc.Address })
	if at >= 0 {
		old := (*left)[at]
		*left = slices.Delete(*left, at, at+1)
		if sameListener(old.config, *lc) && old.frame == e.frame {
			m.next = append(m.next, old)
			return nil
		}
		e.sockets, e.taken = old.sockets, true
	}
	sc, err := l.g.serverConfig(cfg, lc)
	if err != nil {
		return err
	}
	if at < 0 {
		if e.sockets, err = bind(cfg, lc); err != nil {
			return err
		}
		m.opened = append(m.opened, e.sockets...)
	}
	sc.InFlight = l.g.inFlight
	e.server = smtpd.New(sc, &door{g: l.g, listener: &e.config}, l.g.opts.Log)
	m.next = append(m.next, e)
	return nil
}

// bind takes the addresses of a listener.
func bind(cfg *config.Config, lc *config.Listener) ([]*socket, error) {
	listeners, err := openListener(cfg, lc)
	if err != nil {
		return nil, err
	}
	list := make([]*socket, len(listeners))
	for i, l := range listeners {
		list[i] = newSocket(l)
	}
	return list, nil
}

func openListener(cfg *config.Config, lc *config.Listener) ([]net.Listener, error) {
	network, address := lc.Network()
	var l net.Listener
	var err error
	switch {
	case lc.Address == config.SubmitName:
		l, err = listenSubmit(cfg.SubmitPath())
	case network == "fd":
		return activated(address)
	case network == "unix":
		l, err = listenUnix(address, os.FileMode(lc.SocketMode), lc.SocketGroup)
	default:
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
}

var errStopping = errors.New("the gateway is about to end")

// follow makes a move: new servers begin before old ones end, so that every client finds one. Sessions
// of servers that end hear 421 between two messages.
func (l *lobby) follow(m *move) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		m.undo()
		return errStopping
	}
	kept := map[*socket]bool{}
	for _, e := range m.next {
		for _, s := range e.sockets {
			kept[s] = true
		}
		if e.stop == nil {
			l.open(e)
		}
	}
	for _, old := range l.list {
		if slices.Contains(m.next, old) {
			continue
		}
		old.stop()
		for _, s := range old.sockets {
			if !kept[s] {
				l.g.opts.Log.Info("no longer listening", "listener", s.Addr().String())
				_ = s.Close()
			}
		}
	}
	l.list = m.next
	var addrs []net.Addr
	for _, e := range l.list {
		for _, s := range e.sockets {
			if e.config.Address != config.SubmitName {
				addrs = append(addrs, s.Addr())
			}
		}
	}
	l.g.addrs.Store(&addrs)
	return nil
}

// open starts the server of an entrance.
func (l *lobby) open(e *entrance) {
	ctx, cancel := context.WithCancel(l.ctx)
	e.stop = cancel
	if network, path := e.config.Network(); network == "unix" && e.taken {
		if err := setSocketMode(path, os.FileMode(e.config.SocketMode), e.config.SocketGroup); err != nil {
			l.g.journal.InternalError("listener", err)
		}
	}
	for _, s := range e.sockets {
		l.group.Go(func() error {
			err := e.server.Serve(ctx, s.view())
			if err != nil && ctx.Err() != nil && l.ctx.Err() == nil { // a reload has ended it: others go on
				l.g.journal.InternalError("listener", err)
				return nil
			}
			return err
		})
		l.g.opts.Log.Info("listening", "listener", s.Addr().String())
	}
}

// serve runs all entrances until ctx ends and their sessions have ended.
func (l *lobby) serve(ctx context.Context, first *move, started func()) error {
	group, ctx := errgroup.WithContext(ctx)
	l.mu.Lock()
	l.group, l.ctx = group, ctx
	l.mu.Unlock()
	group.Go(func() error { // as long as this runs a reload may start others
		<-ctx.Done()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ended = true
		for _, e := range l.list {
			for _, s := range e.sockets {
				_ = s.Close()
			}
		}
		return nil
	})
	if err := l.follow(first); err != nil {
		return err
	}
	l.g.ready.Store(true)
	if started != nil {
		started()
	}
	l.g.notified(l.g.notifier.ready())
	err := group.Wait()
	l.g.ready.Store(false)
	return err
}

// inTheWay explains why an address that the old config has nearly too cannot be bound beside it.
func inTheWay(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w (an address that overlaps one of the running config takes a restart)", err)
	}
	return err
}

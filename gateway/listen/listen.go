// Package listen holds the addresses that the program answers on: it binds them, passes each to its
// server, and follows a reload without turning a client away.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Server answers the clients of a listener until ctx ends. It closes the listener.
type Server interface {
	Serve(ctx context.Context, l net.Listener) error
}

// Retirer is a Server that a reload replaces without a word to its clients: Retire has Serve take no more of them and return
// once those it has have come to an end of their own.
type Retirer interface {
	Server
	Retire()
}

// Endpoint is an address and the server that answers there.
type Endpoint struct {
	Name     string // what it is for: "listener", "admin"
	Address  string // as the config spells it; an endpoint of the same name and address keeps its sockets
	Settings any    // what Server depends on: while it is deeply equal, the running server stays
	Optional bool   // that it cannot be opened is reported and not an error
	Public   bool   // Addrs lists it

	Server func() (Server, error)
	Bind   func() ([]net.Listener, error)
	Rebind func() error                                   // applies new settings to sockets that stay; may be nil
	Probe  func(ctx context.Context, addr net.Addr) error // asks the server as a client; may be nil
}

// endpoint is an Endpoint whose sockets are bound.
type endpoint struct {
	Endpoint
	server  Server
	sockets []*socket
	late    error // why there are no sockets yet
}

// Set is all endpoints of the program. Open, Prepare and Apply must not be called concurrently.
type Set struct {
	log      *slog.Logger
	report   func(where string, err error)
	list     []*endpoint // as last opened or applied
	changing sync.Mutex  // held from Prepare until Apply or Undo: no endpoint gets its late sockets meanwhile
	changes  chan *Change
	bound    chan bound
	ended    chan struct{} // closed when Run takes no more changes
	serving  atomic.Pointer[snapshot]
}

// snapshot is what Run serves.
type snapshot struct {
	served  []served
	waiting []string // endpoints whose address is not there yet, in words
}

// served is an address that a server answers on.
type served struct {
	name   string // of the endpoint
	addr   net.Addr
	public bool
	probe  func(ctx context.Context, addr net.Addr) error
}

// New returns a set without endpoints. What fails without being fatal goes to report.
func New(log *slog.Logger, report func(where string, err error)) *Set {
	return &Set{log: log, report: report, changes: make(chan *Change), bound: make(chan bound), ended: make(chan struct{})}
}

// Open binds the endpoints that Run begins with.
func (s *Set) Open(list []Endpoint) error {
	c, err := s.Prepare(list)
	if err == nil {
		s.list = c.next
		s.changing.Unlock()
	}
	return err
}

// Change leads from the endpoints of one config to those of the next.
type Change struct {
	set     *Set
	next    []*endpoint
	opened  []*socket // that were not there before
	applied chan struct{}
}

// Prepare binds the addresses of list that are not bound yet; Run goes on trying those that are not there. After an error
// all is as it was before, else Apply or Undo must follow.
func (s *Set) Prepare(list []Endpoint) (*Change, error) {
	s.changing.Lock()
	c := &Change{set: s, applied: make(chan struct{})}
	left := slices.Clone(s.list)
	for _, e := range list {
		err := c.add(e, &left)
		switch {
		case err == nil:
		case e.Optional:
			s.report(e.Name, err)
		default:
			c.Undo()
			if len(left) > 0 && errors.Is(err, syscall.EADDRINUSE) {
				err = fmt.Errorf("%w (an address that overlaps one of the running config takes a restart)", err)
			}
			return nil, fmt.Errorf("%s %s: %w", e.Name, e.Address, err)
		}
	}
	return c, nil
}

// add finds or makes one endpoint; the one found is taken from left.
func (c *Change) add(given Endpoint, left *[]*endpoint) error {
	e := &endpoint{Endpoint: given}
	if i := slices.IndexFunc(*left, func(old *endpoint) bool { return old.Name == given.Name && old.Address == given.Address }); i >= 0 {
		old := (*left)[i]
		*left = slices.Delete(*left, i, i+1)
		if reflect.DeepEqual(old.Settings, given.Settings) {
			c.next = append(c.next, old)
			return nil
		}
		e.sockets, e.late = old.sockets, old.late
	}
	var err error
	if e.server, err = given.Server(); err != nil {
		return err
	}
	if e.sockets == nil && e.late == nil {
		e.Rebind = nil // Bind sees to it
		listeners, err := given.Bind()
		if err != nil && comesLater(given.Address, err) {
			e.late = err
		} else if err != nil {
			return err
		}
		for _, l := range listeners {
			e.sockets = append(e.sockets, newSocket(l))
		}
		c.opened = append(c.opened, e.sockets...)
	}
	c.next = append(c.next, e)
	return nil
}

// Undo closes what Prepare opened.
func (c *Change) Undo() {
	for _, s := range c.opened {
		_ = s.Close()
	}
	c.set.changing.Unlock()
}

var errStopping = errors.New("the gateway is shutting down")

// Apply makes the change and returns when Run has followed it.
func (c *Change) Apply() error {
	select {
	case c.set.changes <- c:
		<-c.applied
		c.set.list = c.next
		c.set.changing.Unlock()
		return nil
	case <-c.set.ended:
		c.Undo()
		return errStopping
	}
}

// Run serves all endpoints until ctx ends and their servers have returned. It calls started once they serve.
func (s *Set) Run(ctx context.Context, started func()) error {
	group, ctx := errgroup.WithContext(ctx)
	running := map[*endpoint]context.CancelFunc{}
	current := s.list
	s.follow(ctx, group, running, current)
	started()
	for {
		select {
		case c := <-s.changes:
			current = c.next
			s.follow(ctx, group, running, current)
			close(c.applied)
		case b := <-s.bound:
			taken := s.take(ctx, group, b)
			b.taken <- taken
			if taken {
				s.publish(current)
			}
		case <-ctx.Done():
			close(s.ended)
			for e := range running {
				e.close()
			}
			return group.Wait()
		}
	}
}

// follow starts the new servers before it stops old ones, so that every client finds one.
func (s *Set) follow(ctx context.Context, group *errgroup.Group, running map[*endpoint]context.CancelFunc, next []*endpoint) {
	kept := map[*socket]bool{}
	for _, e := range next {
		if running[e] == nil {
			running[e] = s.start(ctx, group, e)
		}
		for _, socket := range e.sockets {
			kept[socket] = true
		}
	}
	for e, stop := range running {
		if slices.Contains(next, e) {
			continue
		}
		stop()
		delete(running, e)
		for _, socket := range e.sockets {
			if !kept[socket] {
				s.log.Info("no longer listening", "listener", socket.Addr().String())
				_ = socket.Close()
			}
		}
	}
	s.publish(next)
}

// publish notes what is served for those who ask.
func (s *Set) publish(list []*endpoint) {
	now := &snapshot{waiting: waiting(list)}
	for _, e := range list {
		for _, socket := range e.sockets {
			now.served = append(now.served, served{e.Name, socket.Addr(), e.Public, e.Probe})
		}
	}
	s.serving.Store(now)
}

// start starts the server of an endpoint and returns what stops it.
func (s *Set) start(ctx context.Context, group *errgroup.Group, e *endpoint) context.CancelFunc {
	own, stop := context.WithCancel(ctx)
	if e.Rebind != nil {
		if err := e.Rebind(); err != nil {
			s.report(e.Name, err)
		}
	}
	if e.late != nil {
		s.log.Warn("a listener's address is not available yet; trying again", "listener", e.Address, "error", e.late)
		group.Go(func() error { s.bindLate(own, e); return nil })
	}
	s.serve(own, ctx, group, e)
	if r, ok := e.server.(Retirer); ok {
		return func() { stop(); r.Retire() }
	}
	return stop
}

// serve lets the server of an endpoint answer on its sockets until own ends; one that retires, until ctx ends.
func (s *Set) serve(own, ctx context.Context, group *errgroup.Group, e *endpoint) {
	until := own
	if _, ok := e.server.(Retirer); ok {
		until = ctx
	}
	for _, socket := range e.sockets {
		group.Go(func() error {
			err := e.server.Serve(until, socket.view())
			if err != nil && own.Err() != nil && ctx.Err() == nil { // a reload has stopped it: others go on
				s.report(e.Name, err)
				return nil
			}
			return err
		})
		s.log.Info("listening", "listener", socket.Addr().String())
	}
}

func (e *endpoint) close() {
	for _, s := range e.sockets {
		_ = s.Close()
	}
}

// Named returns the addresses of the endpoints of that name once Run serves them.
func (s *Set) Named(name string) []net.Addr {
	var list []net.Addr
	if now := s.serving.Load(); now != nil {
		for _, at := range now.served {
			if at.name == name {
				list = append(list, at.addr)
			}
		}
	}
	return list
}

// Addrs returns the addresses of the public endpoints once Run serves them, in the order they were given.
func (s *Set) Addrs() []net.Addr {
	var list []net.Addr
	if now := s.serving.Load(); now != nil {
		for _, at := range now.served {
			if at.public {
				list = append(list, at.addr)
			}
		}
	}
	return list
}

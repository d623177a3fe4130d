package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// bindEvery is how often an address that is not there is tried again.
const bindEvery = time.Second

// comesLater reports whether an address that could not be bound may be there later: its link is not up yet, it moves
// between machines, or no name server answers yet. Anything else, such as an address in use, is for the operator.
func comesLater(address string, err error) bool {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT): // the latter: no IPv6
		return true
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return strings.Contains(address, "%") && errors.Is(err, syscall.EINVAL) // the interface of a link-local address
}

// bound is what an endpoint that had to wait brings to Run.
type bound struct {
	endpoint *endpoint
	ctx      context.Context // of its server
	sockets  []net.Listener
	taken    chan bool
}

// bindLate tries to bind an endpoint until that succeeds and Run has taken its sockets, or ctx ends.
func (s *Set) bindLate(ctx context.Context, e *endpoint) {
	said := e.late.Error()
	for {
		listeners, err := e.Bind()
		switch {
		case err == nil:
			b := bound{e, ctx, listeners, make(chan bool, 1)}
			select {
			case s.bound <- b:
				if <-b.taken {
					return
				}
			case <-ctx.Done():
			}
			for _, l := range listeners {
				_ = l.Close()
			}
		case err.Error() != said:
			said = err.Error()
			s.report(e.Name, fmt.Errorf("%s: %w; it is tried again every %v", e.Address, err, bindEvery))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(bindEvery):
		}
	}
}

// take serves an endpoint whose address has come. It reports false while a change is being made, which may be about
// this endpoint.
func (s *Set) take(ctx context.Context, group *errgroup.Group, b bound) bool {
	if b.ctx.Err() != nil || !s.changing.TryLock() {
		return false
	}
	defer s.changing.Unlock()
	e := b.endpoint
	for _, l := range b.sockets {
		e.sockets = append(e.sockets, newSocket(l))
	}
	e.late = nil
	s.serve(b.ctx, ctx, group, e)
	return true
}

// Waiting returns the endpoints whose address is not there yet, with the reason.
func (s *Set) Waiting() []string {
	if now := s.serving.Load(); now != nil {
		return now.waiting
	}
	return nil
}

// Waiting returns the endpoints of the change that will wait for their address, with the reason.
func (c *Change) Waiting() []string { return waiting(c.next) }

func waiting(list []*endpoint) []string {
	var out []string
	for _, e := range list {
		if e.late != nil {
			out = append(out, fmt.Sprintf("%s %s waits for its address: %v", e.Name, e.Address, e.late))
		}
	}
	return out
}

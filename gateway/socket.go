package gateway

import (
	"errors"
	"net"
	"sync"
	"time"
)

// socket is a bound address whose clients go to the server that answers there now. A reload gives it
// another server without closing it: no client finds nobody.
type socket struct {
	net.Listener
	conns chan net.Conn
	over  chan struct{} // closed when it accepts no more
	once  sync.Once
	err   error // why it ended by itself; set before over is closed
	done  sync.WaitGroup
}

// acceptRetry is the pause after a failure that passes, such as a want of file descriptors.
const acceptRetry = 20 * time.Millisecond

func newSocket(l net.Listener) *socket {
	s := &socket{Listener: l, conns: make(chan net.Conn), over: make(chan struct{})}
	s.done.Go(s.accept)
	return s
}

// accept hands clients on until the socket is closed or fails.
func (s *socket) accept() {
	for {
		c, err := s.Listener.Accept()
		if err == nil {
			select {
			case s.conns <- c:
			case <-s.over:
				_ = c.Close()
			}
			continue
		}
		select {
		case <-s.over:
			return
		default:
		}
		var ne net.Error
		//lint:ignore SA1019 net/http asks so too
		if errors.As(err, &ne) && ne.Temporary() {
			time.Sleep(acceptRetry)
			continue
		}
		s.end(err)
		return
	}
}

func (s *socket) end(err error) {
	s.once.Do(func() { s.err = err; close(s.over) })
}

// Close gives the address back.
func (s *socket) Close() error {
	s.end(net.ErrClosed)
	err := s.Listener.Close()
	s.done.Wait()
	return err
}

// view is a socket as one server sees it: closing it leaves the socket to others.
type view struct {
	*socket
	closed chan struct{}
	once   sync.Once
}

func (s *socket) view() *view { return &view{socket: s, closed: make(chan struct{})} }

// Accept waits for a client.
func (v *view) Accept() (net.Conn, error) {
	select {
	case <-v.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case <-v.closed:
		return nil, net.ErrClosed
	case <-v.over:
		if errors.Is(v.err, net.ErrClosed) { // on purpose, and so are all its views: no failure of the server
			<-v.closed
		}
		return nil, v.err
	case c := <-v.conns:
		return c, nil
	}
}

// Close ends the view.
func (v *view) Close() error {
	v.once.Do(func() { close(v.closed) })
	return nil
}

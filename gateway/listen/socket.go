package listen

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// socket is a bound address whose clients go to the server that answers there now. A reload gives it
// another server without closing it, so that no client is refused.
type socket struct {
	net.Listener
	turn chan struct{} // full while a view waits for a client
	over chan struct{} // closed when it accepts no more
	once sync.Once
	err  error // why it ended by itself; set before over is closed
}

// acceptRetry is the pause after a failure that passes, such as a want of file descriptors.
const acceptRetry = 20 * time.Millisecond

func newSocket(l net.Listener) *socket {
	return &socket{Listener: l, turn: make(chan struct{}, 1), over: make(chan struct{})}
}

func (s *socket) end(err error) {
	s.once.Do(func() { s.err = err; close(s.over) })
}

// Close releases the address.
func (s *socket) Close() error {
	s.end(net.ErrClosed)
	return s.Listener.Close()
}

// until sets how long the view whose turn it is waits: the listeners of net have deadlines.
func (s *socket) until(t time.Time) {
	if l, ok := s.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = l.SetDeadline(t)
	}
}

// failed waits out what passes; anything else ends the socket.
func (s *socket) failed(err error) {
	var ne net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded): // a view was closed, this one or another
		s.until(time.Time{})
	//lint:ignore SA1019 net/http asks so too
	case errors.As(err, &ne) && ne.Temporary():
		time.Sleep(acceptRetry)
	default:
		s.end(err)
	}
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
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	}
	for {
		select {
		case <-v.closed:
			return nil, net.ErrClosed
		case <-v.over:
			if errors.Is(v.err, net.ErrClosed) { // on purpose, and so are all its views: no failure of the server
				<-v.closed
			}
			return nil, v.err
		default:
		}
		c, err := v.Listener.Accept()
		if err == nil {
			return c, nil
		}
		v.failed(err)
	}
}

// Close ends the view; the one that waits for a client looks whether it is meant.
func (v *view) Close() error {
	v.once.Do(func() {
		close(v.closed)
		v.until(time.Unix(1, 0))
	})
	return nil
}

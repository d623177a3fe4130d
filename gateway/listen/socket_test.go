package listen

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// scriptedListener gives the errors of a list, then waits for its end.
type scriptedListener struct {
	net.Listener
	errs []error
	end  chan struct{}
}

func (l *scriptedListener) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		<-l.end
		return nil, net.ErrClosed
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	if err == nil {
		c, _ := net.Pipe()
		return c, nil
	}
	return nil, err
}

func (l *scriptedListener) Close() error { close(l.end); return nil }

// TestSocket: what passes is waited out, what does not ends all views.
func TestSocket(t *testing.T) {
	passing := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
	broken := errors.New("no such device")
	s := newSocket(&scriptedListener{errs: []error{passing, nil, broken}, end: make(chan struct{})})
	v := s.view()
	c, err := v.Accept()
	if err != nil {
		t.Fatalf("after a failure that passes: %v", err)
	}
	_ = c.Close()
	if _, err := v.Accept(); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	s = newSocket(&scriptedListener{errs: []error{nil}, end: make(chan struct{})})
	v = s.view()
	_ = v.Close()
	if _, err := v.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed view gave %v", err)
	}
	if c, err := s.view().Accept(); err != nil {
		t.Errorf("the client waits for the next view: %v", err)
	} else {
		_ = c.Close()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestViews: a view that is closed while it waits leaves the next client to another, and those that
// are closed beside it do not disturb the one that waits.
func TestViews(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(l)
	type result struct {
		view int
		err  error
	}
	results := make(chan result)
	views := make([]*view, 3)
	for i := range views {
		views[i] = s.view()
		go func() {
			c, err := views[i].Accept()
			if err == nil {
				_ = c.Close()
			}
			results <- result{i, err}
		}()
	}
	for i := range 2 { // one of the three waits for a client, the others for their turn
		_ = views[i].Close()
		if r := <-results; r.view != i || !errors.Is(r.err, net.ErrClosed) {
			t.Errorf("view %d, which was closed: view %d gave %v", i, r.view, r.err)
		}
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if r := <-results; r.view != 2 || r.err != nil {
		t.Errorf("the client came to view %d: %v", r.view, r.err)
	}
	_ = c.Close()
	_ = views[2].Close()

	alone := s.view()
	go func() {
		_, err := alone.Accept()
		results <- result{3, err}
	}()
	for len(s.turn) == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = alone.Close() // wakes it, though no other view does
	if r := <-results; !errors.Is(r.err, net.ErrClosed) {
		t.Errorf("the only view gave %v", r.err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

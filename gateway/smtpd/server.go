package smtpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Server speaks SMTP on listeners that share one Config.
type Server struct {
	cfg     Config
	handler Handler
	log     *slog.Logger
	blocks  sync.Pool // *[]byte of blockSize: input buffers of sessions inside DATA

	mu       sync.Mutex
	fronts   map[*front]struct{}
	perAddr  map[netip.Prefix]int
	draining bool
	idle     chan struct{} // closed when the last front leaves; nil when nobody waits
}

// blockSize is how much of DATA is read at once.
const blockSize = 64 << 10

// forceWait is how long sessions may take to end once their connections have been cut.
const forceWait = 5 * time.Second

// New gives a server for one listener's settings. A nil logger means slog's default.
func New(cfg Config, h Handler, log *slog.Logger) *Server {
	if log == nil {
		log = slog.Default()
	}
	s := &Server{
		cfg:     cfg.withDefaults(),
		handler: h,
		log:     log.With("listener", cfg.Name),
		fronts:  map[*front]struct{}{},
		perAddr: map[netip.Prefix]int{},
	}
	s.blocks.New = func() any { b := make([]byte, blockSize); return &b }
	return s
}

// Serve answers clients of l until ctx ends or l fails; it closes l. At the end of ctx it stops
// accepting, tells sessions 421 between two commands, lets running DATA finish for DrainTimeout, then
// cuts what is left. The error is nil unless l failed or a handler did not return.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	// Messages that are being handed over outlive ctx by the drain timeout.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	engine := s.engine()
	failed := make(chan error, 1)
	go func() { failed <- engine.Serve(&gate{Listener: l, srv: s, ctx: base}) }()

	var err error
	select {
	case err = <-failed:
		l.Close()
	case <-ctx.Done():
		l.Close()
		<-failed
	}
	left := s.drain(cancel)
	if left > 0 {
		err = errors.Join(err, fmt.Errorf("smtpd: %d sessions did not end within %v of being cut", left, forceWait))
		return err
	}
	// All sessions are closed: this only collects their goroutines.
	collect, done := context.WithTimeout(context.Background(), forceWait)
	defer done()
	if e := engine.Shutdown(collect); e != nil && !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// engine is the go-smtp server; limits on bytes, lines and time are the front's.
func (s *Server) engine() *smtp.Server {
	e := smtp.NewServer(smtp.BackendFunc(newSession))
	e.Domain = s.cfg.Hostname
	e.MaxRecipients = s.cfg.MaxRecipients
	e.MaxMessageBytes = s.cfg.MaxMessage
	e.MaxLineLength = 0
	e.AllowInsecureAuth = true // session.AuthMechanisms decides
	e.EnableSMTPUTF8 = true
	e.EnableDSN = true
	e.ErrorLog = engineLog{s.log}
	return e
}

// engineLog is where go-smtp reports panics and accept errors.
type engineLog struct{ log *slog.Logger }

func (l engineLog) Printf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }
func (l engineLog) Println(v ...any)               { l.log.Error(fmt.Sprint(v...)) }

// drain ends all sessions and tells how many would not.
func (s *Server) drain(cut context.CancelFunc) int {
	s.mu.Lock()
	s.draining = true
	for f := range s.fronts {
		f.drain()
	}
	idle := make(chan struct{})
	s.idle = idle
	if len(s.fronts) == 0 {
		close(idle)
		s.idle = nil
	}
	s.mu.Unlock()
	if await(idle, s.cfg.DrainTimeout) {
		return 0
	}
	cut()
	s.mu.Lock()
	for f := range s.fronts {
		f.raw.Close()
	}
	s.mu.Unlock()
	if await(idle, forceWait) {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fronts)
}

func await(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// gate is the listener that go-smtp sees: it hands out fronts.
type gate struct {
	net.Listener
	srv *Server
	ctx context.Context // of all sessions
}

// Accept waits for a client that there is room for.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		f := newFront(g.ctx, g.srv, conn)
		if g.srv.enter(f) {
			return f, nil
		}
		f.turnAway()
	}
}

// enter counts a connection in, if MaxConns allows.
func (s *Server) enter(f *front) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.MaxConns > 0 && len(s.fronts) >= s.cfg.MaxConns {
		return false
	}
	s.fronts[f] = struct{}{}
	if s.draining {
		f.drain()
	}
	return true
}

// enterAddr counts a connection of a known peer, if MaxConnsPerAddr allows.
func (s *Server) enterAddr(f *front) bool {
	if s.cfg.MaxConnsPerAddr <= 0 || !f.peer.IsValid() {
		return true
	}
	key := countedAs(f.peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perAddr[key] >= s.cfg.MaxConnsPerAddr {
		return false
	}
	s.perAddr[key]++
	f.counted = key
	return true
}

// leave forgets a connection.
func (s *Server) leave(f *front) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fronts, f)
	if f.counted.IsValid() {
		if s.perAddr[f.counted]--; s.perAddr[f.counted] <= 0 {
			delete(s.perAddr, f.counted)
		}
		f.counted = netip.Prefix{}
	}
	if len(s.fronts) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// countedAs is the network that counts as one client.
func countedAs(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// Conns tells how many connections are open.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fronts)
}
